import { assertEquals } from "@std/assert";
import { nearest } from "../../src/config/nearest.ts";

const KNOWN = ["iface", "iface-regex", "ip-masq", "ip-blackhole-route", "healthz-port", "VNI", "v", "mtu"];

const cases: [word: string, near: string | undefined, why: string][] = [
  ["ifce", "iface", "a letter is missing"],
  ["ifacee", "iface", "a letter is too many"],
  ["iafce", "iface", "two letters changed places"],
  ["IFACE", "iface", "case is no difference"],
  ["iface_regex", "iface-regex", "an underscore stands for a dash"],
  ["ip-mask", "ip-masq", "a letter is wrong"],
  ["blackhole-route", "ip-blackhole-route", "people leave out the first part"],
  ["port", "healthz-port", "the end of a name is enough"],
  ["vnl", "VNI", "a third of the letters may differ"],
  ["x", undefined, "one letter is near to no other"],
  ["networks", undefined, "no flag is called anything like it"],
  ["i".repeat(100_000), undefined, "a word of that length is not compared"],
];

for (const [word, near, why] of cases) {
  Deno.test(`nearest() of "${word.slice(0, 20)}" is ${near ?? "nothing"}: ${why}`, () => {
    assertEquals(nearest(word, KNOWN), near);
  });
}
