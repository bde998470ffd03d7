import { assert, assertEquals, assertRejects } from "@std/assert";
import { UsageError } from "../../../src/config/usage_error.ts";
import { COMMANDS } from "../../../src/command/commands.ts";
import { commandEntries } from "../../../src/command/command_table.ts";
import { manOf, manPage } from "../../../src/command/man/man.ts";

/** How mandoc(1) writes bold and underlined signs. */
const OVERSTRUCK = new RegExp(".\b", "g");

/** Runs mandoc(1) on a page. */
async function mandoc(page: string, ...flags: string[]): Promise<string> {
  const child = new Deno.Command("mandoc", { args: flags, stdin: "piped", stdout: "piped", stderr: "piped" })
    .spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(page));
  await writer.close();
  const { stdout, stderr } = await child.output();
  return [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
}

Deno.test("mandoc finds nothing wrong with the manual page but that it has no date", async () => {
  const faults = (await mandoc(await manOf([], COMMANDS), "-Tlint")).trimEnd().split("\n");
  assertEquals(faults.filter((line) => !line.includes("missing date")), []);
});

Deno.test("the manual page has each command with each of its flags, as a reader sees it", async () => {
  const shown = (await mandoc(await manOf([], COMMANDS), "-Tascii")).replaceAll(OVERSTRUCK, "");
  for (const { line, flags } of await commandEntries(COMMANDS)) {
    assert(shown.includes(`   ${line}`), line);
    for (const { name } of flags) assert(shown.includes(`       --${name}`), `${line} --${name}`);
  }
});

Deno.test("words of a command that man(7) would take for its own are shown as they are", async () => {
  const about = '.B is a request\n\'x is another\n\n  .indented\\fB -- "quoted"';
  const flags = [{ name: "x", kind: "string", value: "\\fBX", help: ".SH is none", bare: "5m" }] as const;
  const entry = { name: "x", summary: "x", line: "loden x", about, flags, agentFlags: [], words: [] };
  const shown = (await mandoc(manPage([entry]), "-Tascii")).replaceAll(OVERSTRUCK, "");
  for (
    const text of [
      ".B is a request 'x is another",
      '.indented\\fB -- "quoted"',
      "--x[=\\fBX]",
      ".SH is none (5m)",
    ]
  ) {
    assert(shown.includes(text), `${text} in ${shown}`);
  }
});

Deno.test("man refuses words, and tells its help", async () => {
  await assertRejects(() => manOf(["status"], COMMANDS), UsageError, 'Cannot read "status"');
  assert((await manOf(["--help"], COMMANDS)).startsWith("Usage: loden man [FLAGS]"));
});
