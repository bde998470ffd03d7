import { assertEquals, assertThrows } from "@std/assert";
import {
  bridgeIn,
  ConflistError,
  conflistText,
  expectedPluginTypes,
  filesBefore,
  isOurConflist,
  nameFault,
  parseConflist,
  pluginTypes,
  podAttachment,
  renderConflist,
  USUAL_CONFLIST,
  withMtu,
} from "../../src/pods/conflist.ts";
import { readSettings } from "../../src/pods/settings.ts";
import { readSubnetEnv } from "../../src/pods/subnet_env.ts";
import { SUBNET_ENV } from "../plugin/plugin_world.ts";

function render(source: string, variables = {}, env = SUBNET_ENV) {
  return JSON.parse(renderConflist(source, readSettings(variables), readSubnetEnv(env, "/s")));
}

Deno.test("renderConflist() resolves flannel in kubeadm's conflist, and leaves the rest of the chain", () => {
  assertEquals(render(USUAL_CONFLIST), {
    name: "cbr0",
    cniVersion: "0.3.1",
    renderedBy: "loden",
    plugins: [
      {
        type: "bridge",
        hairpinMode: true,
        ipMasq: false,
        ipam: {
          ranges: [[{ subnet: "10.244.1.0/24" }]],
          routes: [{ dst: "10.244.0.0/16" }],
          type: "host-local",
        },
        isDefaultGateway: true,
        isGateway: true,
        mtu: 1450,
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  });
});

Deno.test("renderConflist() keeps what the runtime must know of flannel's capabilities, and the list's own keys", () => {
  const source = {
    name: "n",
    cniVersions: ["1.0.0"],
    plugins: [{ type: "flannel", capabilities: { mac: true } }],
  };
  const { plugins: [plugin], cniVersions } = render(JSON.stringify(source));
  assertEquals([plugin.type, plugin.capabilities, cniVersions], ["bridge", { mac: true }, ["1.0.0"]]);
  assertEquals(
    Object.keys(plugin).filter((key) => ["name", "cniVersion", "runtimeConfig"].includes(key)),
    [],
  );
});

Deno.test("renderConflist() heeds the plugin's variables, and changes with the subnet", () => {
  assertEquals(render(USUAL_CONFLIST, { FLANNEL_CNI_MTU: "1400" }).plugins[0].mtu, 1400);
  const moved = SUBNET_ENV.replace("10.244.1.1/24", "10.244.9.1/24");
  assertEquals(render(USUAL_CONFLIST, {}, moved).plugins[0].ipam.ranges, [[{ subnet: "10.244.9.0/24" }]]);
});

Deno.test("renderConflist() leaves a chain without flannel as it is", () => {
  const source = { name: "n", plugins: [{ type: "ptp" }] };
  assertEquals(render(JSON.stringify(source)), { ...source, renderedBy: "loden" });
});

/** `cni-conf.json` of flannel 0.8's kube-flannel.yml, and of kops'. */
const ALONE = `{
  "name": "cbr0",
  "type": "flannel",
  "delegate": {
    "forceAddress": true,
    "isDefaultGateway": true
  }
}`;

for (const source of [ALONE, `\ufeff${ALONE}`]) {
  Deno.test(`renderConflist() makes a list of one plugin alone${source === ALONE ? "" : " behind a byte order mark"}`, () => {
    const list = render(source);
    assertEquals(Object.keys(list), ["name", "plugins", "renderedBy"]);
    assertEquals([list.name, list.plugins.length], ["cbr0", 1]);
    const [{ type, forceAddress, isDefaultGateway, ipam, mtu }] = list.plugins;
    assertEquals([type, forceAddress, isDefaultGateway, ipam.type, mtu], [
      "bridge",
      true,
      true,
      "host-local",
      1450,
    ]);
    assertEquals([bridgeIn(source), expectedPluginTypes(source)], ["cni0", ["bridge", "host-local"]]);
    assertEquals(JSON.parse(withMtu(source, 1400)).plugins[0].delegate.mtu, 1400);
  });
}

const texts: [source: string, text: string, why: string][] = [
  [USUAL_CONFLIST, USUAL_CONFLIST, "a list stays as it is"],
  [`\ufeff${USUAL_CONFLIST}`, USUAL_CONFLIST, "no runtime reads JSON behind a byte order mark"],
  [
    ALONE,
    `${JSON.stringify({ name: "cbr0", plugins: [JSON.parse(ALONE)] }, undefined, 2)}\n`,
    "one plugin becomes a list",
  ],
  [
    '{"cniVersion":"0.2.0","name":"n","type":"bridge","bridge":"br0"}',
    `${
      JSON.stringify(
        {
          name: "n",
          cniVersion: "0.2.0",
          plugins: [{ cniVersion: "0.2.0", name: "n", type: "bridge", bridge: "br0" }],
        },
        undefined,
        2,
      )
    }\n`,
    "as libcni makes it, with its version",
  ],
];
for (const [source, text, why] of texts) {
  Deno.test(`conflistText() is what a runtime reads: ${why}`, () => {
    assertEquals(conflistText(source), text);
    assertEquals(conflistText(text), text);
  });
}

for (
  const [name, isRead] of [["a.conflist", true], ["a.conf", false], ["a.json", false], ["a", true]] as const
) {
  Deno.test(`nameFault() says ${isRead ? "nothing of" : "that runtimes read no list in"} ${name}`, () => {
    assertEquals(nameFault(name) === undefined, isRead);
  });
}

const refused: [source: string, reason: string][] = [
  ["", "line 1 column 1: expected a value, but the text ends"],
  ["[]", "must be an object"],
  ['{"plugins":[{"type":"flannel"}]}', "name: must name the network"],
  ['{"type":"flannel"}', "name: must name the network"],
  ['{"name":"n","type":7}', "plugins: must be a list of objects, and not empty"],
  ['{"name":"n","mtu":1e400,"plugins":[{"type":"flannel"}]}', "line 1 column 24: a number that is too large"],
  ['{"name":"n"}', "plugins: must be a list of objects, and not empty"],
  ['{"name":"n","plugins":[]}', "plugins: must be a list of objects, and not empty"],
  ['{"name":"n","plugins":["x"]}', "plugins: must be a list of objects, and not empty"],
  ['{"name":"a b","plugins":[{"type":"flannel"}]}', 'invalid characters found in network name: "a b"'],
  [
    '{"name":"n","plugins":[{"type":"flannel","delegate":{"ipam":{}}}]}',
    "'delegate' dictionary must not have 'ipam' field, it'll be set by flannel",
  ],
];
for (const [source, reason] of refused) {
  Deno.test(`renderConflist() refuses ${source || "nothing"}: ${reason}`, () => {
    assertEquals(assertThrows(() => render(source), ConflistError).message, reason);
  });
}

const ours: [text: string, expected: boolean, why: string][] = [
  [USUAL_CONFLIST, true, "it calls flannel"],
  [renderConflist(USUAL_CONFLIST, readSettings({}), readSubnetEnv(SUBNET_ENV, "/s")), true, "it is rendered"],
  ['{"name":"n","plugins":[{"type":"bridge"}]}', false, "an administrator's"],
  ["{", false, "unreadable"],
  [ALONE, true, "it calls flannel, alone"],
];
for (const [text, expected, why] of ours) {
  Deno.test(`isOurConflist() is ${expected}: ${why}`, () => assertEquals(isOurConflist(text), expected));
}

const bridges: [source: string, bridge: string | undefined, why: string][] = [
  [USUAL_CONFLIST, "cni0", "flannel's delegate is the plugin bridge, with its own default"],
  ['{"name":"n","plugins":[{"type":"flannel","delegate":{"bridge":"br0"}}]}', "br0", "the delegate says"],
  ['{"name":"n","plugins":[{"type":"bridge","bridge":"br1"},{"type":"portmap"}]}', "br1", "it was rendered"],
  [
    '{"name":"n","plugins":[{"type":"flannel","delegate":{"type":"ipvlan"}}]}',
    undefined,
    "pods are on no bridge",
  ],
];

for (const [source, bridge, why] of bridges) {
  Deno.test(`bridgeIn() is ${bridge}: ${why}`, () => assertEquals(bridgeIn(source), bridge));
}

Deno.test("withMtu() puts the MTU where each flannel passes it on", () => {
  const list = parseConflist(withMtu(USUAL_CONFLIST, 1400));
  assertEquals(
    JSON.stringify(list.plugins),
    JSON.stringify([
      { type: "flannel", delegate: { hairpinMode: true, isDefaultGateway: true, mtu: 1400 } },
      { type: "portmap", capabilities: { portMappings: true } },
    ]),
  );
});

Deno.test("filesBefore() finds what a runtime would use instead", () => {
  const names = [
    "05-x.conf",
    "10-a.conflist",
    "00-z.json",
    "00-z.txt",
    "87-podman.conflist",
    ".hidden",
    "10-flannel.conflist",
  ];
  assertEquals(filesBefore("10-flannel.conflist", names), ["00-z.json", "05-x.conf", "10-a.conflist"]);
});

const attachments: [why: string, plugin: object, expected: object][] = [
  ["flannel's usual conflist", {}, { bridge: "cni0", isForced: false, mtuBytes: 1450 }],
  ["a bridge of another name, and an MTU", { delegate: { bridge: "br0", mtu: 1300 } }, {
    bridge: "br0",
    mtuBytes: 1300,
  }],
  ["a bridge without a gateway", { delegate: { isGateway: false } }, { bridge: undefined }],
  ["a bridge with the default gateway alone", { delegate: { isGateway: false, isDefaultGateway: true } }, {
    bridge: "cni0",
  }],
  ["a VLAN, whose own link has the gateway", { delegate: { vlan: 100 } }, { bridge: undefined }],
  ["no VLAN", { delegate: { vlan: 0 } }, { bridge: "cni0" }],
  ["another delegate", { delegate: { type: "ptp" } }, { bridge: undefined }],
  ["addresses from elsewhere", { ipam: { type: "dhcp" } }, { bridge: undefined, networksDir: undefined }],
  ["a plugin that takes other addresses away", { delegate: { forceAddress: true } }, { isForced: true }],
  ["a store elsewhere", { ipam: { dataDir: "/x" } }, { networksDir: "/x" }],
];
for (const [why, plugin, expected] of attachments) {
  Deno.test(`podAttachment() knows how pods are attached by ${why}`, () => {
    const source = JSON.stringify({ name: "n1", plugins: [{ type: "flannel", ...plugin }] });
    const found = podAttachment(source, readSettings({}), readSubnetEnv(SUBNET_ENV, "/s"))!;
    assertEquals({ ...found, ...expected }, found);
    assertEquals(found.network, "n1");
  });
}

Deno.test("podAttachment() knows nothing of a conflist without the plugin flannel", () => {
  const source = '{"name":"n","plugins":[{"type":"bridge"}]}';
  assertEquals(podAttachment(source, readSettings({}), readSubnetEnv(SUBNET_ENV, "/s")), undefined);
});

Deno.test("pluginTypes() names each plugin once, and those that give addresses", () => {
  const rendered = renderConflist(USUAL_CONFLIST, readSettings({}), readSubnetEnv(SUBNET_ENV, "/s"));
  assertEquals(pluginTypes(rendered), ["bridge", "host-local", "portmap"]);
  assertEquals(expectedPluginTypes(USUAL_CONFLIST), ["bridge", "host-local", "portmap"]);
  assertEquals(expectedPluginTypes('{"name":"n","plugins":[{"type":"flannel","delegate":{"type":"ptp"}}]}'), [
    "ptp",
    "host-local",
  ]);
});

Deno.test("a conflist means the same with the keys of the plugin flannel in any case", () => {
  const list = (plugin: string) => `{"name":"n","cniVersion":"1.0.0","plugins":[${plugin}]}`;
  const usual = list(
    '{"type":"flannel","delegate":{"bridge":"br1"},"ipam":{"type":"x"},"capabilities":{"mac":true},"Other":1}',
  );
  const odd = list(
    '{"Type":"flannel","Delegate":{"bridge":"br1"},"IPAM":{"type":"x"},"Capabilitie\u017f":{"mac":true},"Other":1}',
  );
  assertEquals(render(odd), render(usual));
  assertEquals([bridgeIn(odd), expectedPluginTypes(odd), isOurConflist(odd)], ["br1", ["bridge", "x"], true]);
  assertEquals(JSON.parse(withMtu(odd, 1400)).plugins[0].delegate, { bridge: "br1", mtu: 1400 });
  // What runtimes make of the list is sorted, and the usual spelling the last.
  assertEquals(render(list('{"type":"flannel","ipam":{"a":1},"IPAM":{"a":2,"b":2}}')).plugins[0].ipam.a, 1);
});
