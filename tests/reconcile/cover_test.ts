import { assertEquals } from "@std/assert";
import { parsePrefix } from "../../src/model/address.ts";
import { covers } from "../../src/reconcile/cover.ts";

const cases: [what: string, prefixes: string[], length: number, isWhole: boolean][] = [
  ["nothing", [], 24, false],
  ["itself", ["10.244.2.0/24"], 24, true],
  ["its halves, in any order", ["10.244.2.128/25", "10.244.2.0/25"], 24, true],
  ["one half and a part of that", ["10.244.2.0/25", "10.244.2.0/26"], 24, false],
  [
    "parts that lie in others",
    ["10.244.2.0/26", "10.244.2.0/25", "10.244.2.200/32", "10.244.2.128/25"],
    24,
    true,
  ],
  ["all addresses one by one", Array.from({ length: 256 }, (_, n) => `10.244.2.${n}/32`), 24, true],
  ["all addresses but one", Array.from({ length: 255 }, (_, n) => `10.244.2.${n}/32`), 24, false],
  ["its halves in IPv6", ["fd00:10:244:2:8000::/65", "fd00:10:244:2::/65"], 64, true],
  ["one half twice in IPv6", ["fd00:10:244:2::/65", "fd00:10:244:2::/65"], 64, false],
];

for (const [what, prefixes, length, isWhole] of cases) {
  Deno.test(`covers() says that ${what} ${isWhole ? "is" : "is not"} all of a subnet`, () => {
    assertEquals(covers(prefixes.map(parsePrefix), length), isWhole);
  });
}
