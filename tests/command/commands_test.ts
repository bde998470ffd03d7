import { assert, assertEquals, assertRejects } from "@std/assert";
import { UsageError } from "../../src/config/usage_error.ts";
import type { Place } from "../../src/command/command.ts";
import { commandHelp } from "../../src/command/command_flags.ts";
import { COMMANDS, overview } from "../../src/command/commands.ts";
import type { Output } from "../../src/command/output.ts";

/** What a terminal shows at once. */
const [COLUMNS, ROWS] = [80, 24];

function assertFits(text: string): void {
  const lines = text.split("\n");
  assert(lines.length <= ROWS, `${lines.length} lines: ${text}`);
  assertEquals(lines.filter(({ length }) => length > COLUMNS), []);
}

/** Runs a command and returns what it has said. */
async function said(name: string, ...args: string[]): Promise<string> {
  const texts: string[] = [];
  const output = { say: (text: string) => texts.push(text) } as unknown as Output;
  const place: Place = { output, signal: new AbortController().signal };
  assertEquals(await COMMANDS[name]!.run(args, place), 0);
  return texts.join("\n");
}

Deno.test("loden help fits a screen", () => assertFits(overview()));

for (const [name, { usage }] of Object.entries(COMMANDS)) {
  if (usage === undefined) continue;
  Deno.test(`the help of ${name} fits a screen, and loden help ${name} prints it`, async () => {
    assertFits(commandHelp(usage));
    assertEquals(await said("help", name), commandHelp(usage));
  });
}

/** What has a help of its own, or is tested above; the agent has more flags than a screen has lines. */
const OTHERS = [
  "agent",
  "version",
  "help",
  ...Object.keys(COMMANDS).filter((name) => COMMANDS[name]!.usage !== undefined),
];

for (const name of Object.keys(COMMANDS).filter((name) => !OTHERS.includes(name))) {
  Deno.test(`loden ${name} --help fits a screen`, async () => assertFits(await said(name, "--help")));
}

for (const word of ["help", "-help", "--help", "-h"]) {
  Deno.test(`loden agent ${word} prints the agent's flags, and starts none`, async () => {
    const text = await said("agent", word);
    assert(text.startsWith("Usage: loden"));
    assert(text.includes("-iface"));
  });
}

Deno.test("loden help tells the help of a command that reads its words by itself", async () => {
  assert((await said("help", "cleanup")).startsWith("Usage: loden cleanup --stale"));
  assertEquals(await said("help"), overview());
  await assertRejects(async () => await said("help", "nonsense"), UsageError, 'Cannot help with "nonsense"');
});
