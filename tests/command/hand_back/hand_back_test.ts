import { assertEquals, assertRejects } from "@std/assert";
import { runHandBack } from "../../../src/command/hand_back/hand_back.ts";
import type { Output } from "../../../src/command/output.ts";
import { UsageError } from "../../../src/config/usage_error.ts";

const place = { output: { say: () => {} } as unknown as Output, signal: new AbortController().signal };

const refused: readonly (readonly [words: string[], why: string])[] = [
  [["now"], 'Cannot read "now": hand-back takes flags alone'],
  [
    ["--rules=ebtables"],
    "Cannot read --rules=ebtables: it must be one of auto, iptables, iptables-legacy, nftables",
  ],
  [["--nonsense"], 'Cannot read flag "--nonsense"'],
];

for (const [words, why] of refused) {
  Deno.test(`loden hand-back ${words.join(" ")} is refused`, async () => {
    await assertRejects(() => runHandBack(words, place), UsageError, why);
  });
}

Deno.test("loden hand-back --help says how it is asked for", async () => {
  const said: string[] = [];
  const output = { say: (text: string) => said.push(text) } as unknown as Output;
  assertEquals(await runHandBack(["--help"], { ...place, output }), 0);
  assertEquals(said.join("").split("\n")[0], "Usage: loden hand-back [FLAGS] [THE AGENT'S FLAGS]");
});
