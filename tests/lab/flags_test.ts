import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { UsageError } from "../../src/config/usage_error.ts";
import { type LabFlags, labHelp, parseLabFlags } from "../../src/lab/flags.ts";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";

const STANDARD: LabFlags = { hosts: 3, isRouted: false, families: [AF_INET], isKept: false, warnings: [] };

const read: [argv: string[], change: Partial<LabFlags>, why: string][] = [
  [[], {}, "three IPv4 hosts on one segment is what most want to see"],
  [["--hosts=5"], { hosts: 5 }, "two dashes"],
  [["-hosts", "2", "-routed"], { hosts: 2, isRouted: true }, "the value may be the next word"],
  [["-ipv6"], { families: [AF_INET6] }, "one family in place of the other"],
  [["-dual"], { families: [AF_INET, AF_INET6] }, "both, IPv4 first"],
  [["-keep", "-routed=false"], { isKept: true }, "a boolean can be turned off"],
];

for (const [argv, change, why] of read) {
  Deno.test(`parseLabFlags() reads \`loden lab ${argv.join(" ")}\`: ${why}`, () => {
    assertEquals(parseLabFlags(argv), { ...STANDARD, ...change });
  });
}

const refused: [argv: string[], message: string, why: string][] = [
  [["-hosts=0"], "must be 1 to 50", "a lab has a host"],
  [["-hosts=51"], "must be 1 to 50", "each host is a process"],
  [["-host=3"], "did you mean -hosts?", "a slip of the hand"],
  [["-ipv6", "-dual"], "Cannot use -ipv6 with -dual", "they contradict each other"],
];

for (const [argv, message, why] of refused) {
  Deno.test(`parseLabFlags() refuses \`loden lab ${argv.join(" ")}\` because ${why}`, () => {
    assertThrows(() => parseLabFlags(argv), UsageError, message);
  });
}

Deno.test("parseLabFlags() warns of words that are no flags", () => {
  assertMatch(parseLabFlags(["three"])!.warnings.join(), /"three"/);
});

Deno.test("labHelp() lists every flag and is what -help asks for", () => {
  assertEquals(parseLabFlags(["-help"]), undefined);
  for (const name of ["hosts N", "routed", "ipv6", "dual", "keep"]) {
    assertMatch(labHelp(), new RegExp(`^  -${name} `, "m"));
  }
});
