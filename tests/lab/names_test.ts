import { assertEquals } from "@std/assert";
import { labName, ownerOfFolder, ownerOfNetns } from "../../src/lab/names.ts";
import { isZombie } from "../../src/lab/sweep.ts";

const namespaces: [name: string, owner: number | undefined, why: string][] = [
  ["loden4711-underlay", 4711, "the switch or the router"],
  ["loden4711-h1", 4711, "a host"],
  ["loden4711-h12-p1", 4711, "a pod"],
  ["loden4711-2-h1", 4711, "a host of the second lab of a process"],
  ["loden-h1", undefined, "no process made it"],
  ["loden0-h1", undefined, "no process has id 0"],
  ["loden4711-router", undefined, "no lab has a namespace of that name"],
  ["lodentest-4711-0", undefined, "it is a unit test's"],
  ["myloden4711-h1", undefined, "it begins otherwise"],
  ["loden4711-h1-old", undefined, "it ends otherwise"],
];

for (const [name, owner, why] of namespaces) {
  Deno.test(`ownerOfNetns() tells the owner of ${name}, ${owner}: ${why}`, () => {
    assertEquals(ownerOfNetns(name), owner);
  });
}

const folders: [name: string, owner: number | undefined, why: string][] = [
  ["loden4711-f9cc1968627cbdc0", 4711, "as Deno.makeTempDir() makes it"],
  ["loden4711", undefined, "it was not made by a lab"],
  ["loden-f9cc", undefined, "no process made it"],
  ["deno-compile-loden.cache", undefined, "it is another program's"],
];

for (const [name, owner, why] of folders) {
  Deno.test(`ownerOfFolder() tells the owner of ${name}, ${owner}: ${why}`, () => {
    assertEquals(ownerOfFolder(name), owner);
  });
}

Deno.test("labName() gives each lab of a process a name of its own, which ownerOfNetns() knows", () => {
  const names = [1, 2, 10].map((serial) => labName(4711, serial));
  assertEquals(names, ["loden4711", "loden4711-2", "loden4711-10"]);
  for (const name of names) assertEquals(ownerOfNetns(`${name}-h1-p1`), 4711);
});

const states: [stat: string, isEnded: boolean, why: string][] = [
  ["4711 (loden) S 1 4711", false, "it sleeps"],
  ["4711 (loden) Z 1 4711", true, "its parent has not asked for it"],
  ["4711 (a) Z (b) R 1 4711", false, "a name may look like a state"],
];

for (const [stat, isEnded, why] of states) {
  Deno.test(`isZombie() is ${isEnded} for \`${stat}\`: ${why}`, () => {
    assertEquals(isZombie(stat), isEnded);
  });
}
