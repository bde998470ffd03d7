import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../../src/config/usage_error.ts";
import type { CommandUsage } from "../../src/command/command.ts";
import { commandHelp, readCommandWords } from "../../src/command/command_flags.ts";

const USAGE: CommandUsage = {
  line: "loden find ADDRESS",
  about: "Finds an address, and says where it is.",
  flags: [
    { name: "json", kind: "boolean", default: false, help: "print JSON" },
    { name: "from", kind: "string", value: "ADDRESS", help: "where to begin" },
    { name: "wait", kind: "string", value: "TIME", bare: "5m", help: "how long to wait" },
    { name: "depth", kind: "integer", default: 3, range: [1, 9], value: "N", help: "how far to go" },
  ],
};
const WITH_AGENT: CommandUsage = { ...USAGE, takesAgentFlags: true };

const asked: [
  args: string[],
  usage: CommandUsage,
  values: Record<string, unknown>,
  words: string[],
  agentArgs: string[],
][] = [
  [[], USAGE, { json: false, depth: 3 }, [], []],
  [["a", "--json", "b"], USAGE, { json: true, depth: 3 }, ["a", "b"], []],
  [["-from", "x", "a", "--depth=4"], USAGE, { json: false, depth: 4, from: "x" }, ["a"], []],
  [["--wait", "a"], USAGE, { json: false, depth: 3, wait: "5m" }, ["a"], []],
  [["--wait=3s", "a"], USAGE, { json: false, depth: 3, wait: "3s" }, ["a"], []],
  [["--json", "--", "--from"], USAGE, { json: true, depth: 3 }, ["--from"], []],
  [["-iface=eth0", "a", "-v", "3", "--json"], WITH_AGENT, { json: true, depth: 3 }, ["a"], [
    "-iface=eth0",
    "-v",
    "3",
  ]],
];

for (const [args, usage, values, words, agentArgs] of asked) {
  Deno.test(`readCommandWords() reads "${args.join(" ")}"`, () => {
    const read = readCommandWords(args, usage)!;
    assertEquals(Object.fromEntries(read.values), values);
    assertEquals([read.words, read.agentArgs], [words, agentArgs]);
  });
}

for (const word of ["-h", "--help", "-help"]) {
  Deno.test(`readCommandWords() leaves ${word} to the help`, () => {
    assertEquals(readCommandWords(["a", word], USAGE), undefined);
  });
}

const refused: [args: string[], message: string][] = [
  [["--jsno"], 'Cannot read flag "--jsno": there is no such flag; did you mean --json?'],
  [["--nonsense"], "Cannot read flag \"--nonsense\": there is no such flag; see 'loden find --help'"],
  [["-iface=eth0"], "Cannot read flag \"-iface=eth0\": there is no such flag; see 'loden find --help'"],
  [["--depth=99"], 'Cannot read -depth: must be 1 to 9, is "99"'],
  [["--from"], "Cannot read -from: it needs a value, as -from=VALUE"],
];

for (const [args, message] of refused) {
  Deno.test(`readCommandWords() refuses ${args.join(" ")} with one sentence`, () => {
    assertThrows(() => readCommandWords(args, USAGE), UsageError, message);
  });
}

Deno.test("commandHelp() has a line for each flag, with what it is otherwise", () => {
  assertEquals(
    commandHelp(USAGE),
    `Usage: loden find ADDRESS [FLAGS]

Finds an address, and says where it is.

  --json          print JSON
  --from=ADDRESS  where to begin
  --wait[=TIME]   how long to wait (5m)
  --depth=N       how far to go (3)`,
  );
});
