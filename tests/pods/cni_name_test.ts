import { assertEquals } from "@std/assert";
import { ifnameFault, isCniName } from "../../src/pods/cni_name.ts";

const cniNames: [name: string, isValid: boolean][] = [
  ["cbr0", true],
  ["0a.b_c-D", true],
  ["", false],
  [".x", false],
  ["../x", false],
  ["a@b", false],
  ["a b", false],
];
for (const [name, isValid] of cniNames) {
  Deno.test(`isCniName() finds that ${JSON.stringify(name)} ${isValid ? "can" : "can't"} name a network`, () => {
    assertEquals(isCniName(name), isValid);
  });
}

// dev_valid_name() of net/core/dev.c.
const ifnames: [name: string, isValid: boolean][] = [
  ["eth0", true],
  ["abcdefghijklmno", true],
  ["e@th", true],
  ["ööööööö", true],
  ["öööööööö", false],
  ["a:b", false],
  ["a b", false],
  ["a\tb", false],
  [".", false],
];
for (const [name, isValid] of ifnames) {
  Deno.test(`ifnameFault() finds that ${JSON.stringify(name)} ${isValid ? "can" : "can't"} name a link`, () => {
    assertEquals(ifnameFault(name) === undefined, isValid);
  });
}
