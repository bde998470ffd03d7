import { assertEquals, assertThrows } from "@std/assert";
import {
  type Applied,
  earlierHistoryPaths,
  historyPath,
  type HostHistory,
  keepHistory,
  readHistory,
} from "../../src/host/history.ts";
import { parsePrefix } from "../../src/model/address.ts";

const APPLIED: Applied = {
  bootId: "7d1f6a52-0b39-4a0c-9d2b-1f2e3d4c5b6a",
  networks: [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/48")],
  hasAdopted: true,
};
const SUBNETS = ["10.244.21.0/24", "fd00:21::/64", "10.244.5.0/24"].map(parsePrefix);
const WHOLE: HostHistory = { applied: APPLIED, subnets: SUBNETS };
const NOTHING: HostHistory = { applied: undefined, subnets: [] };

const APPLIED_TEXT =
  '{"bootId":"7d1f6a52-0b39-4a0c-9d2b-1f2e3d4c5b6a","networks":["10.244.0.0/16","fd00:10:244::/48"],' +
  '"hasAdopted":true';
const SUBNETS_TEXT = '"subnets":["10.244.21.0/24","fd00:21::/64","10.244.5.0/24"]}\n';

async function inFolder(
  body: (subnetFilePath: string, path: string, folder: string) => unknown,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-history-" });
  try {
    const subnetFilePath = `${folder}/subnet.env`;
    await body(subnetFilePath, historyPath(subnetFilePath), folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("keepHistory() writes what a person can read, and readHistory() reads it back", () =>
  inFolder(async (subnetFilePath, path) => {
    keepHistory(subnetFilePath, WHOLE);
    assertEquals(await Deno.readTextFile(path), `${APPLIED_TEXT},${SUBNETS_TEXT}`);
    assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
    assertEquals(readHistory(subnetFilePath), WHOLE);
  }));

Deno.test("keepHistory() keeps one part beside what was kept of the other", () =>
  inFolder((subnetFilePath) => {
    keepHistory(subnetFilePath, { subnets: SUBNETS });
    assertEquals(readHistory(subnetFilePath), { applied: undefined, subnets: SUBNETS });
    keepHistory(subnetFilePath, { applied: APPLIED });
    assertEquals(readHistory(subnetFilePath), WHOLE);
    const applied = { ...APPLIED, networks: [], hasAdopted: false };
    keepHistory(subnetFilePath, { applied });
    assertEquals(readHistory(subnetFilePath), { applied, subnets: SUBNETS });
  }));

Deno.test("keepHistory() keeps the newest subnets of more than a host ever has", () =>
  inFolder((subnetFilePath) => {
    const subnets = Array.from({ length: 100 }, (_, index) => parsePrefix(`10.244.${index}.0/24`));
    keepHistory(subnetFilePath, { subnets });
    assertEquals(readHistory(subnetFilePath).subnets, subnets.slice(36));
  }));

for (
  const [what, changed] of [["applied", { applied: APPLIED }], ["held", { subnets: SUBNETS }]] as const
) {
  Deno.test(`what a version with two files has kept is read, and in one file once what was ${what} is kept`, () =>
    inFolder(async (subnetFilePath, path, folder) => {
      await Deno.writeTextFile(`${folder}/applied.json`, `${APPLIED_TEXT}}\n`);
      await Deno.writeTextFile(`${folder}/held.json`, `{${SUBNETS_TEXT}`);
      assertEquals(readHistory(subnetFilePath), WHOLE);
      keepHistory(subnetFilePath, changed);
      assertEquals(readHistory(subnetFilePath), WHOLE);
      const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
      assertEquals(names, ["history.json"]);
      assertEquals(await Deno.readTextFile(path), `${APPLIED_TEXT},${SUBNETS_TEXT}`);
    }));
}

Deno.test("what an earlier version that was run again has written beside it is added, and nothing is lost", () =>
  inFolder(async (subnetFilePath, _, folder) => {
    keepHistory(subnetFilePath, WHOLE);
    await Deno.writeTextFile(`${folder}/held.json`, '{"subnets":["10.9.0.0/24","10.244.5.0/24"]}');
    const applied = {
      bootId: APPLIED.bootId,
      networks: ["10.77.0.0/16", "10.244.0.0/16"],
      hasAdopted: false,
    };
    await Deno.writeTextFile(`${folder}/applied.json`, JSON.stringify(applied));
    assertEquals(readHistory(subnetFilePath), {
      applied: {
        bootId: APPLIED.bootId,
        networks: [...APPLIED.networks, parsePrefix("10.77.0.0/16")],
        hasAdopted: false,
      },
      subnets: [...SUBNETS, parsePrefix("10.9.0.0/24")],
    });
  }));

Deno.test("what an earlier version has applied since another boot counts alone", () =>
  inFolder(async (subnetFilePath, _, folder) => {
    keepHistory(subnetFilePath, WHOLE);
    const applied = { bootId: "another", networks: ["10.77.0.0/16"], hasAdopted: true };
    await Deno.writeTextFile(`${folder}/applied.json`, JSON.stringify(applied));
    assertEquals(readHistory(subnetFilePath).applied?.networks, [parsePrefix("10.77.0.0/16")]);
  }));

Deno.test("the files of an agent with another subnet file are its own", () => {
  assertEquals(historyPath("/run/flannel/subnet.env"), "/run/flannel/history.json");
  assertEquals(historyPath("/run/flannel/b.env"), "/run/flannel/b.env.history.json");
  assertEquals(earlierHistoryPaths("/run/flannel/b.env"), [
    "/run/flannel/b.env.applied.json",
    "/run/flannel/b.env.held.json",
  ]);
});

const whole = JSON.parse(`${APPLIED_TEXT},${SUBNETS_TEXT}`);
const [isApplied, isSubnets] = [{ applied: APPLIED, subnets: [] }, { applied: undefined, subnets: SUBNETS }];
const hostile: [what: string, text: string, read: HostHistory][] = [
  ["nothing", "", NOTHING],
  ["half of it", APPLIED_TEXT, NOTHING],
  ["no JSON", "{", NOTHING],
  ["null", "null", NOTHING],
  ["a number", "7", NOTHING],
  ["a text", '"bootId"', NOTHING],
  ["a list", "[]", NOTHING],
  ["an empty object", "{}", NOTHING],
  ["a field that it does not know, as of a later version", JSON.stringify({ ...whole, more: 1 }), WHOLE],
  ["a boot that is a number", JSON.stringify({ ...whole, bootId: 7 }), isSubnets],
  ["no boot", JSON.stringify({ ...whole, bootId: undefined }), isSubnets],
  ["adoption that is text", JSON.stringify({ ...whole, hasAdopted: "true" }), isSubnets],
  ["no networks", JSON.stringify({ ...whole, networks: undefined }), isSubnets],
  ["networks that are text", JSON.stringify({ ...whole, networks: "10.244.0.0/16" }), isSubnets],
  [
    "networks that are an object",
    JSON.stringify({ ...whole, networks: { length: 1, 0: "10.244.0.0/16" } }),
    isSubnets,
  ],
  ["a network that is null", JSON.stringify({ ...whole, networks: [null] }), isSubnets],
  ["a network that is no prefix", JSON.stringify({ ...whole, networks: ["10.244.0.0"] }), isSubnets],
  ["a network that is too long", JSON.stringify({ ...whole, networks: ["10.244.0.0/33"] }), isSubnets],
  ["a network that is nested", JSON.stringify({ ...whole, networks: [[["x"]]] }), isSubnets],
  [
    "more networks than are ever configured",
    JSON.stringify({ ...whole, networks: Array(17).fill("10.0.0.0/8") }),
    isSubnets,
  ],
  ["a prototype", '{"__proto__":{"bootId":"x","networks":[],"hasAdopted":7}}', NOTHING],
  ["subnets that are text", JSON.stringify({ ...whole, subnets: "10.244.5.0/24" }), isApplied],
  ["a subnet that is none", JSON.stringify({ ...whole, subnets: ["10.244.5.0/24", "10.244.5"] }), isApplied],
  ["a subnet that is null", JSON.stringify({ ...whole, subnets: [null] }), isApplied],
  [
    "more subnets than are ever written",
    JSON.stringify({ ...whole, subnets: Array(65).fill("10.0.0.0/8") }),
    isApplied,
  ],
];

for (const [what, text, read] of hostile) {
  Deno.test(`readHistory() goes by what can be read when it is given ${what}`, () =>
    inFolder(async (subnetFilePath, path) => {
      await Deno.writeTextFile(path, text);
      assertEquals(readHistory(subnetFilePath), read);
    }));
}

Deno.test("readHistory() reads nothing that is not such a file", () =>
  inFolder(async (subnetFilePath, path, folder) => {
    assertEquals(readHistory(subnetFilePath), NOTHING);
    keepHistory(subnetFilePath, WHOLE);
    await Deno.rename(path, `${folder}/real`);
    await Deno.symlink("real", path);
    assertEquals(readHistory(subnetFilePath), NOTHING, "a symbolic link may lead anywhere");
    await Deno.remove(path);
    await Deno.mkdir(path);
    assertEquals(readHistory(subnetFilePath), NOTHING, "a folder");
    assertThrows(() => keepHistory(subnetFilePath, WHOLE), Error);
    await Deno.remove(path);
    await Deno.writeTextFile(path, JSON.stringify(whole) + " ".repeat(20_000));
    assertEquals(readHistory(subnetFilePath), NOTHING, "it is larger than ours can be");
  }));
