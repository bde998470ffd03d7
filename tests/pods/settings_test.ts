import { assertEquals, assertThrows } from "@std/assert";
import { CniError } from "../../src/pods/cni_error.ts";
import { dataDirOf, readSettings, subnetFileOf, type Variables } from "../../src/pods/settings.ts";

Deno.test("readSettings() says nothing where no variable is set, or all are empty", () => {
  const nothing = {
    subnetFile: undefined,
    dataDir: undefined,
    backend: undefined,
    delegateType: undefined,
    mtuBytes: undefined,
    isMasquerading: undefined,
    logLevel: "warn",
    logFilePath: undefined,
  };
  assertEquals(readSettings({}) as object, nothing);
  const names = [
    "SUBNET_FILE",
    "DATA_DIR",
    "BACKEND",
    "DELEGATE_TYPE",
    "MTU",
    "IP_MASQ",
    "LOG_LEVEL",
    "LOG_FILE",
  ];
  assertEquals(
    readSettings(Object.fromEntries(names.map((name) => [`FLANNEL_CNI_${name}`, ""]))) as object,
    nothing,
  );
});

const refused: [variables: Variables, name: string][] = [
  [{ FLANNEL_CNI_MTU: "0" }, "MTU"],
  [{ FLANNEL_CNI_MTU: "1e3" }, "MTU"],
  [{ FLANNEL_CNI_MTU: "65536" }, "MTU"],
  [{ FLANNEL_CNI_IP_MASQ: "yes" }, "IP_MASQ"],
  [{ FLANNEL_CNI_LOG_LEVEL: "loud" }, "LOG_LEVEL"],
];
for (const [variables, name] of refused) {
  Deno.test(`readSettings() refuses ${JSON.stringify(variables)} and names the variable`, () => {
    const error = assertThrows(() => readSettings(variables), CniError);
    assertEquals([error.code, error.message], [4, `invalid variable FLANNEL_CNI_${name}`]);
  });
}

const places: [conf: string | undefined, variable: string | undefined, file: string, folder: string][] = [
  [undefined, undefined, "/run/flannel/subnet.env", "/var/lib/cni/flannel"],
  [undefined, "/v", "/v", "/v"],
  ["/c", "/v", "/c", "/c"],
  ["/c", undefined, "/c", "/c"],
];
for (const [conf, variable, file, folder] of places) {
  Deno.test(`a path is ${file} where the conflist says ${conf} and a variable ${variable}`, () => {
    const settings = readSettings({ FLANNEL_CNI_SUBNET_FILE: variable, FLANNEL_CNI_DATA_DIR: variable });
    assertEquals(subnetFileOf({ subnetFile: conf }, settings), file);
    assertEquals(dataDirOf({ dataDir: conf }, settings), folder);
  });
}
