import { assertEquals, assertThrows } from "@std/assert";
import { CniError } from "../../src/pods/cni_error.ts";
import { guessVersion, parseNetConf, versionOf } from "../../src/pods/net_conf.ts";

const read: [text: string, expected: Partial<ReturnType<typeof parseNetConf>>][] = [
  ['{"name":"n"}', { name: "n", cniVersion: "", delegate: {}, ipam: {} }],
  ['{"name":"n","cniVersion":null,"delegate":null,"ipam":null,"runtimeConfig":null}', {
    delegate: {},
    ipam: {},
  }],
  ['{"name":"n","cniVersion":"1.0.0","subnetFile":"/s","dataDir":"/d","backend":"vxlan"}', {
    cniVersion: "1.0.0",
    subnetFile: "/s",
    dataDir: "/d",
    backend: "vxlan",
  }],
  ['{"name":"n","subnetFile":""}', { subnetFile: undefined }],
  ['{"name":"n","unknown":[1],"capabilities":{"mac":true},"args":{}}', { name: "n" }],
  ['{"name":"n","cni.dev/valid-attachments":[{"containerID":"c","ifname":"eth0"}]}', {
    validAttachments: [{ containerId: "c", ifname: "eth0" }],
  }],
  ['{"name":"n","cni.dev/valid-attachments":[]}', { validAttachments: [] }],
];
for (const [text, expected] of read) {
  Deno.test(`parseNetConf() reads ${text}`, () => {
    const conf = parseNetConf(text);
    for (const [key, value] of Object.entries(expected)) {
      assertEquals(JSON.stringify(conf[key as keyof typeof conf]), JSON.stringify(value), key);
    }
  });
}

const refused: [text: string, code: number, message: string, details: string | undefined][] = [
  ["", 6, "cannot decode the network configuration", "line 1 column 1: expected a value, but the text ends"],
  ["[]", 6, "cannot decode the network configuration", "must be an object"],
  [
    '{"name":"n"} x',
    6,
    "cannot decode the network configuration",
    'line 1 column 14: expected the end, but there is "x"',
  ],
  ["{}", 7, "missing network name", "the key name must name the network"],
  ['{"name":"a b"}', 7, "invalid characters found in network name", '"a b"'],
  ['{"name":1}', 7, "invalid network configuration: name", "must be text"],
  ['{"name":"n","cniVersion":1}', 7, "invalid network configuration: cniVersion", "must be text"],
  ['{"name":"n","delegate":[]}', 7, "invalid network configuration: delegate", "must be an object"],
  ['{"name":"n","ipam":"x"}', 7, "invalid network configuration: ipam", "must be an object"],
  [
    '{"name":"n","delegate":{"type":1}}',
    7,
    "'delegate' dictionary, if present, must have (string) 'type' field",
    undefined,
  ],
  [
    '{"name":"n","delegate":{"name":"x"}}',
    7,
    "'delegate' dictionary must not have 'name' field, it'll be set by flannel",
    undefined,
  ],
  [
    '{"name":"n","delegate":{"ipam":{}}}',
    7,
    "'delegate' dictionary must not have 'ipam' field, it'll be set by flannel",
    undefined,
  ],
  [
    '{"name":"n","cni.dev/valid-attachments":[{"containerID":"c"}]}',
    7,
    "invalid network configuration: cni.dev/valid-attachments",
    "must be containerID and ifname",
  ],
];
for (const [text, code, message, details] of refused) {
  Deno.test(`parseNetConf() refuses ${text || "nothing"} with code ${code}`, () => {
    const error = assertThrows(() => parseNetConf(text), CniError);
    assertEquals([error.code, error.message], [code, message]);
    assertEquals(error.details, details);
  });
}

Deno.test("versionOf() takes a configuration without version for 0.1.0", () => {
  assertEquals(versionOf({ cniVersion: "" }), "0.1.0");
  assertEquals(versionOf({ cniVersion: "1.0.0" }), "1.0.0");
});

Deno.test("guessVersion() finds the version to answer in, though all else is wrong", () => {
  assertEquals(guessVersion('{"cniVersion":"1.1.0","delegate":3}'), "1.1.0");
  assertEquals(guessVersion('{"cniVersion":7}'), "0.1.0");
  assertEquals(guessVersion("{"), "0.1.0");
});

const broken: [members: string, key: string][] = [
  ['"subnetFile":7', "subnetFile"],
  ['"backend":{}', "backend"],
  ['"delegate":{"type":7}', "delegate"],
  ['"delegate":{"name":"x"}', "delegate"],
  ['"delegate":[]', "delegate"],
  ['"ipam":{"x":1e400}', "ipam"],
  ['"IPAM":"x"', "ipam"],
  ['"runtimeConfig":[]', "runtimeConfig"],
  ['"prevResult":"x"', "prevResult"],
  ['"cni.dev/valid-attachments":[1]', "validAttachments"],
];
for (const [members, key] of broken) {
  Deno.test(`parseNetConf() that is to find an attachment goes on with ${members}, as if it were not there`, () => {
    const text = `{"name":"n","dataDir":"/d",${members}}`;
    assertThrows(() => parseNetConf(text), CniError);
    const usual = parseNetConf('{"name":"n","dataDir":"/d"}');
    assertEquals(parseNetConf(text, "findable"), usual, key);
  });
}

for (const text of ['{"name":7}', '{"name":"n","dataDir":7}', '{"name":"n","cniVersion":7}', "[]", "{"]) {
  Deno.test(`parseNetConf() can't find an attachment with ${text}`, () => {
    assertThrows(() => parseNetConf(text, "findable"), CniError);
  });
}

Deno.test("guessVersion() reads the version's key in any case", () => {
  assertEquals(guessVersion('{"CNIVERSION":"0.4.0","name":7}'), "0.4.0");
});
