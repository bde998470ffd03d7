import { assertEquals, assertThrows } from "@std/assert";
import { CniError } from "../../src/pods/cni_error.ts";
import type { Variables } from "../../src/pods/settings.ts";
import type { Verb } from "../../src/pods/versions.ts";
import { readInvocation } from "../../src/plugin/invocation.ts";

const ALL = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/run/netns/p",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/opt/cni/bin:/usr/lib/cni",
};

// CNI specification 1.1.0, "Parameters", and what its Go library asks for beyond.
const required: [verb: Verb, names: string[]][] = [
  ["ADD", ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"]],
  ["DEL", ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"]],
  ["CHECK", ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"]],
  ["GC", ["CNI_PATH"]],
  ["STATUS", ["CNI_PATH"]],
  ["VERSION", []],
];
for (const [verb, names] of required) {
  Deno.test(`readInvocation() names all variables that ${verb} misses at once`, () => {
    if (names.length === 0) return assertEquals(readInvocation({ CNI_COMMAND: verb }).verb, verb);
    const error = assertThrows(() => readInvocation({ CNI_COMMAND: verb }), CniError);
    assertEquals([error.code, error.message], [4, `required env variables [${names.join(",")}] missing`]);
  });
  for (const name of names) {
    Deno.test(`readInvocation() refuses ${verb} without ${name}, or with an empty one`, () => {
      for (const value of [undefined, ""]) {
        const error = assertThrows(
          () => readInvocation({ ...ALL, CNI_COMMAND: verb, [name]: value }),
          CniError,
        );
        assertEquals([error.code, error.message], [4, `required env variables [${name}] missing`]);
      }
    });
  }
}

Deno.test("readInvocation() reads all that a runtime says", () => {
  assertEquals(readInvocation({ ...ALL, CNI_NETNS_OVERRIDE: "TRUE" }), {
    verb: "ADD",
    containerId: "c1",
    ifname: "eth0",
    netns: "/run/netns/p",
    pluginFolders: ["/opt/cni/bin", "/usr/lib/cni"],
    isOwnNetnsAllowed: true,
  });
});

const refused: [variables: Variables, message: string, why: string][] = [
  [{ CNI_COMMAND: "add" }, "unknown CNI_COMMAND: add", "verbs are upper case"],
  [{ CNI_COMMAND: "UPDATE" }, "unknown CNI_COMMAND: UPDATE", "there is no such verb"],
  [{ CNI_COMMAND: "toString" }, "unknown CNI_COMMAND: toString", "an object's own functions are no verbs"],
  [{ CNI_CONTAINERID: "../x" }, "invalid characters in CNI_CONTAINERID", "it becomes a file's name"],
  [{ CNI_CONTAINERID: ".x" }, "invalid characters in CNI_CONTAINERID", "hidden files are ours"],
  [{ CNI_CONTAINERID: "a@b" }, "invalid characters in CNI_CONTAINERID", "@ parts container and link"],
  [{ CNI_CONTAINERID: "a".repeat(239) }, "CNI_CONTAINERID is too long", "file names end at 255 bytes"],
  [{ CNI_IFNAME: "a/b" }, 'invalid CNI_IFNAME "a/b"', "a slash"],
  [{ CNI_IFNAME: ".." }, 'invalid CNI_IFNAME ".."', "a folder"],
  [{ CNI_IFNAME: "abcdefghijklmnop" }, 'invalid CNI_IFNAME "abcdefghijklmnop"', "16 bytes"],
];
for (const [variables, message, why] of refused) {
  Deno.test(`readInvocation() refuses ${JSON.stringify(variables).slice(0, 60)}: ${why}`, () => {
    const error = assertThrows(() => readInvocation({ ...ALL, ...variables }), CniError);
    assertEquals([error.code, error.message], [4, message]);
  });
}
