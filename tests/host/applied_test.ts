import { assertEquals, assertThrows } from "@std/assert";
import { replaceFile } from "../../src/cni/replace_file.ts";
import {
  type Applied,
  appliedPath,
  formatApplied,
  keepApplied,
  parseApplied,
  readApplied,
} from "../../src/host/applied.ts";
import { parsePrefix } from "../../src/model/address.ts";

const APPLIED: Applied = {
  bootId: "7d1f6a52-0b39-4a0c-9d2b-1f2e3d4c5b6a",
  networks: [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/48")],
  hasAdopted: true,
};

Deno.test("formatApplied() writes what a person can read", () => {
  assertEquals(
    formatApplied(APPLIED),
    '{"bootId":"7d1f6a52-0b39-4a0c-9d2b-1f2e3d4c5b6a","networks":["10.244.0.0/16","fd00:10:244::/48"],' +
      '"hasAdopted":true}\n',
  );
});

for (const applied of [APPLIED, { bootId: "", networks: [], hasAdopted: false }]) {
  Deno.test(`parseApplied() reads back what formatApplied() writes of ${applied.networks.length} networks`, () => {
    assertEquals(parseApplied(formatApplied(applied)), applied);
  });
}

Deno.test("parseApplied() takes a field that it does not know, as a later version may write one", () => {
  const text = JSON.stringify({ ...JSON.parse(formatApplied(APPLIED)), more: 1 });
  assertEquals(parseApplied(text), APPLIED);
});

const whole = JSON.parse(formatApplied(APPLIED));
const hostile: [what: string, text: string][] = [
  ["nothing", ""],
  ["half of it", formatApplied(APPLIED).slice(0, 60)],
  ["no JSON", "{"],
  ["null", "null"],
  ["a number", "7"],
  ["a list", "[]"],
  ["an empty object", "{}"],
  ["a boot that is a number", JSON.stringify({ ...whole, bootId: 7 })],
  ["no boot", JSON.stringify({ ...whole, bootId: undefined })],
  ["adoption that is text", JSON.stringify({ ...whole, hasAdopted: "true" })],
  ["no networks", JSON.stringify({ ...whole, networks: undefined })],
  ["networks that are text", JSON.stringify({ ...whole, networks: "10.244.0.0/16" })],
  ["networks that are an object", JSON.stringify({ ...whole, networks: { length: 1, 0: "10.244.0.0/16" } })],
  ["a network that is null", JSON.stringify({ ...whole, networks: [null] })],
  ["a network that is no prefix", JSON.stringify({ ...whole, networks: ["10.244.0.0"] })],
  ["a network that is too long", JSON.stringify({ ...whole, networks: ["10.244.0.0/33"] })],
  ["a network that is nested", JSON.stringify({ ...whole, networks: [[["x"]]] })],
  [
    "more networks than anybody configures",
    JSON.stringify({ ...whole, networks: Array(17).fill("10.0.0.0/8") }),
  ],
  ["a prototype", '{"__proto__":{"bootId":"x","networks":[],"hasAdopted":7}}'],
];

for (const [what, text] of hostile) {
  Deno.test(`parseApplied() goes by nothing when it is given ${what}`, () => {
    assertEquals(parseApplied(text), undefined);
  });
}

Deno.test("appliedPath() is beside the subnet file", () => {
  assertEquals(appliedPath("/run/flannel/subnet.env"), "/run/flannel/applied.json");
});

Deno.test("readApplied() reads what keepApplied() has kept, and nothing that is not such a file", async () => {
  const folder = await Deno.makeTempDir({ prefix: "loden-applied-" });
  try {
    const path = appliedPath(`${folder}/subnet.env`);
    assertEquals(readApplied(path), undefined);
    keepApplied(path, APPLIED, replaceFile);
    assertEquals(readApplied(path), APPLIED);
    assertEquals((await Deno.stat(path)).mode! & 0o777, 0o644);
    await Deno.rename(path, `${folder}/real`);
    await Deno.symlink("real", path);
    assertEquals(readApplied(path), undefined, "a symbolic link may lead anywhere");
    await Deno.remove(path);
    await Deno.mkdir(path);
    assertEquals(readApplied(path), undefined, "a folder");
    assertThrows(() => keepApplied(path, APPLIED, replaceFile), Error);
    await Deno.remove(path);
    await Deno.writeTextFile(path, formatApplied(APPLIED) + " ".repeat(4096));
    assertEquals(readApplied(path), undefined, "it is larger than ours can be");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
