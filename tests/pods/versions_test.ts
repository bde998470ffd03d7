import { assertEquals, assertThrows } from "@std/assert";
import { CniError } from "../../src/pods/cni_error.ts";
import {
  checkVersion,
  CNI_VERSIONS,
  commonVersion,
  formatVersions,
  type Verb,
} from "../../src/pods/versions.ts";

const since: [verb: Verb, version: string][] = [
  ["ADD", "0.1.0"],
  ["DEL", "0.1.0"],
  ["CHECK", "0.4.0"],
  ["GC", "1.1.0"],
  ["STATUS", "1.1.0"],
];
for (const [verb, first] of since) {
  Deno.test(`checkVersion() lets ${verb} pass from ${first} on, and names it below`, () => {
    for (const version of CNI_VERSIONS) {
      if (version >= first) checkVersion(version, verb);
      else {
        const error = assertThrows(() => checkVersion(version, verb), CniError);
        assertEquals([error.code, error.message], [1, `config version does not allow ${verb}`]);
      }
    }
  });
}

for (const version of ["1.2.0", "1.1", "v1.0.0", "", "0.1.1"]) {
  Deno.test(`checkVersion() refuses ${JSON.stringify(version)} and names both sides`, () => {
    const error = assertThrows(() => checkVersion(version, "ADD"), CniError);
    assertEquals([error.code, error.message], [1, "incompatible CNI versions"]);
    assertEquals(
      error.details,
      `config is ${JSON.stringify(version)}, plugin supports 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0`,
    );
  });
}

Deno.test("formatVersions() answers as the specification's library does", () => {
  assertEquals(
    formatVersions(),
    '{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}\n',
  );
});

const common: [wanted: string, spoken: string[][], expected: string | undefined][] = [
  ["1.1.0", [["0.4.0", "1.0.0"], ["1.0.0", "1.1.0"]], "1.0.0"],
  ["1.1.0", [["1.0.0", "1.1.0"], ["1.0.0", "1.1.0"]], "1.1.0"],
  ["1.0.0", [["1.1.0"], ["1.1.0"]], undefined],
  ["1.1.0", [["0.3.1"], ["0.4.0"]], undefined],
  ["1.1.0", [["2.0.0", "0.3.1"]], "0.3.1"],
];
for (const [wanted, spoken, expected] of common) {
  Deno.test(`commonVersion() of ${wanted} and ${JSON.stringify(spoken)} is ${expected ?? "nothing"}`, () => {
    assertEquals(commonVersion(wanted, spoken), expected);
  });
}
