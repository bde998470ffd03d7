import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { CniError } from "../../src/pods/cni_error.ts";
import { delegateConfig } from "../../src/pods/delegate_config.ts";
import { parseNetConf } from "../../src/pods/net_conf.ts";
import { readSettings, type Variables } from "../../src/pods/settings.ts";
import { readSubnetEnv } from "../../src/pods/subnet_env.ts";
import { SEED } from "../double/random.ts";

const PATH = "/run/flannel/subnet.env";
const USUAL_ENV =
  "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
const KUBEADM = { hairpinMode: true, isDefaultGateway: true };

function build(conf: object, env = USUAL_ENV, variables: Variables = {}) {
  const parsed = parseNetConf(JSON.stringify({ name: "cbr0", ...conf }));
  return delegateConfig(parsed, readSettings(variables), readSubnetEnv(env, PATH));
}

// flannel's plugin at 092e6d26 wrote this to its state file (spec, section 2.3).
const GOLDEN =
  '{"cniVersion":"1.0.0","hairpinMode":true,"ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.244.1.0/24"}]],' +
  '"routes":[{"dst":"10.244.0.0/16"}],"type":"host-local"},"isDefaultGateway":true,"isGateway":true,"mtu":1450,' +
  '"name":"cbr0","type":"bridge"}';

Deno.test("delegateConfig() makes the very bytes of flannel's plugin", () => {
  assertEquals(JSON.stringify(build({ cniVersion: "1.0.0", delegate: KUBEADM })), GOLDEN);
});

const V4 = "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\n";
const V4_TWO = "FLANNEL_NETWORK=10.1.0.0/16,192.168.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\n";
const V6 = "FLANNEL_IPV6_NETWORK=fc00::/48\nFLANNEL_IPV6_SUBNET=fc00::1/64\n";
const REST = "FLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n";
const RANGE_4 = [{ subnet: "10.1.17.0/24" }];
const RANGE_6 = [{ subnet: "fc00::/64" }];
const stacks: [name: string, env: string, ranges: unknown, routes: string[]][] = [
  ["IPv4", V4, [RANGE_4], ["10.1.0.0/16"]],
  ["IPv4 with two networks", V4_TWO, [RANGE_4], ["10.1.0.0/16", "192.168.0.0/16"]],
  ["IPv6", V6, [RANGE_6], ["fc00::/48"]],
  ["dual stack", V4 + V6, [RANGE_4, RANGE_6], ["10.1.0.0/16", "fc00::/48"]],
];
for (const [name, env, ranges, routes] of stacks) {
  Deno.test(`delegateConfig() of ${name} is a bridge with a range of each family and a route to each network`, () => {
    assertEquals(build({ name: "cni-flannel" }, env + REST) as object, {
      ipMasq: false,
      ipam: { ranges, routes: routes.map((dst) => ({ dst })), type: "host-local" },
      isGateway: true,
      mtu: 1472,
      name: "cni-flannel",
      type: "bridge",
    });
  });
}

const SERVICES = { dst: "10.96.0.0/12" };
const VIA = { dst: "192.168.244.0/24", gw: "10.1.17.20" };
const NETWORK = { dst: "10.244.0.0/16" };
const kept: [conf: object, path: string, expected: unknown, why: string][] = [
  [{ delegate: { type: "ptp" } }, "isGateway", undefined, "only a bridge has that"],
  [{ delegate: { isGateway: false } }, "isGateway", false, "the configuration says so"],
  [{ delegate: { mtu: 9000 } }, "mtu", 9000, "the configuration says so"],
  [{ delegate: { ipMasq: true } }, "ipMasq", true, "the configuration says so"],
  [{ delegate: { bridge: "br1", x: [1] } }, "bridge", "br1", "what is not ours passes"],
  [{}, "cniVersion", undefined, "none was given"],
  [{ cniVersion: "0.3.1" }, "cniVersion", "0.3.1", "it is passed on"],
  [{ runtimeConfig: { mac: "02:00:00:00:00:01" } }, "runtimeConfig", { mac: "02:00:00:00:00:01" }, "whole"],
  [{ capabilities: { mac: true } }, "capabilities", undefined, "for the runtime only"],
  [{ prevResult: { ips: [] } }, "prevResult", undefined, "ADD of a delegate begins anew"],
  [{ dns: { nameservers: ["1.1.1.1"] } }, "dns", undefined, "flannel ignores it"],
  [{ ipam: { type: "my-ipam", x: 1 } }, "ipam.type", "my-ipam", "the configuration says so"],
  [{ ipam: { type: "my-ipam", x: 1 } }, "ipam.x", 1, "what is not ours passes"],
  [{ ipam: { dataDir: "/d" } }, "ipam.dataDir", "/d", "what is not ours passes"],
  [{ ipam: { subnet: "10.9.0.0/24" } }, "ipam.subnet", "10.9.0.0/24", "host-local puts it before the ranges"],
  [
    { ipam: { ranges: [[{ subnet: "10.9.0.0/24" }]] } },
    "ipam.ranges",
    [[{ subnet: "10.244.1.0/24" }]],
    "overwritten",
  ],
  [{ ipam: { routes: [SERVICES, VIA] } }, "ipam.routes", [SERVICES, VIA, NETWORK], "the user's come first"],
  [{ ipam: { routes: null } }, "ipam.routes", [NETWORK], "none"],
  [{ ipam: { routes: [{ ...VIA, x: 1, mtu: 1400, table: 7 }] } }, "ipam.routes", [
    { ...VIA, mtu: 1400, table: 7 },
    NETWORK,
  ], "what a route can't have vanishes"],
  [
    { ipam: { routes: [{ dst: "10.9.0.7/12" }] } },
    "ipam.routes",
    [{ dst: "10.9.0.7/12" }, NETWORK],
    "host bits are kept",
  ],
  [{ ipam: { routes: [{ dst: "2001:DB8::0/32", gw: "" }] } }, "ipam.routes", [
    { dst: "2001:db8::/32" },
    NETWORK,
  ], "written the usual way"],
];
for (const [conf, path, expected, why] of kept) {
  Deno.test(`delegateConfig() of ${JSON.stringify(conf)} has ${path} ${JSON.stringify(expected)}: ${why}`, () => {
    const at = path.split(".").reduce<unknown>(
      (value, key) => (value as Record<string, unknown>)[key],
      build(conf),
    );
    assertEquals(at, expected);
  });
}

const refused: [conf: object, code: number, message: string, details: string | undefined][] = [
  [{ delegate: { type: "../x" } }, 7, 'invalid plugin name: "../x"', undefined],
  [{ delegate: { type: "" } }, 7, 'invalid plugin name: ""', undefined],
  [{ ipam: { type: "a/b" } }, 7, 'invalid plugin name: "a/b"', "in ipam"],
  [{ ipam: { type: 3 } }, 7, "invalid plugin name: 3", "in ipam"],
  [{ ipam: { routes: {} } }, 7, "invalid network configuration: ipam.routes", "must be a list"],
  [{ ipam: { routes: ["x"] } }, 7, "invalid network configuration: ipam.routes", "a route must be an object"],
  [
    { ipam: { routes: [{}] } },
    7,
    "invalid network configuration: ipam.routes",
    "invalid CIDR address: undefined",
  ],
  [
    { ipam: { routes: [{ dst: "10.0.0.0" }] } },
    7,
    "invalid network configuration: ipam.routes",
    "invalid CIDR address: 10.0.0.0",
  ],
  [
    { ipam: { routes: [{ ...VIA, gw: "x" }] } },
    7,
    "invalid network configuration: ipam.routes",
    "invalid IP address: x",
  ],
  [
    { ipam: { routes: [{ ...VIA, mtu: 1.5 }] } },
    7,
    "invalid network configuration: ipam.routes",
    "mtu must be a whole number",
  ],
];
for (const [conf, code, message, details] of refused) {
  Deno.test(`delegateConfig() refuses ${JSON.stringify(conf)}`, () => {
    const error = assertThrows(() => build(conf), CniError);
    assertEquals([error.code, error.message, error.details], [code, message, details]);
  });
}

Deno.test("a backend that does not exist is refused, wherever it is named, with those that do", () => {
  for (
    const [conf, variables] of [[{ backend: "vxlam" }, {}], [{}, { FLANNEL_CNI_BACKEND: "vxlam" }]] as const
  ) {
    const error = assertThrows(() => build(conf, USUAL_ENV, variables), CniError);
    assertEquals(error.code, 7);
    assertStringIncludes(error.message, 'is unknown: "vxlam"');
    assertStringIncludes(error.details!, "vxlan, auto, host-gw");
  }
});

const backends: [conf: object, variables: Variables, where: string | undefined][] = [
  [{}, {}, undefined],
  [{ backend: "vxlan" }, {}, undefined],
  [{}, { FLANNEL_CNI_BACKEND: "vxlan" }, undefined],
  [{ backend: "host-gw" }, {}, "the network configuration (backend)"],
  [{}, { FLANNEL_CNI_BACKEND: "host-gw" }, "FLANNEL_CNI_BACKEND"],
  [{ backend: "vxlan" }, { FLANNEL_CNI_BACKEND: "host-gw" }, undefined],
];
for (const [conf, variables, where] of backends) {
  Deno.test(`a backend of ${JSON.stringify({ ...conf, ...variables })} is ${where ? "refused" : "fine"} on a vxlan host`, () => {
    const env = `${USUAL_ENV}FLANNEL_BACKEND=vxlan\n`;
    if (where === undefined) return assertEquals(build(conf, env, variables).type, "bridge");
    const error = assertThrows(() => build(conf, env, variables), CniError);
    assertEquals([error.code, error.message], [
      7,
      `the backend is "host-gw" in ${where} and "vxlan" in ${PATH}`,
    ]);
    assertEquals(build(conf, USUAL_ENV, variables).type, "bridge");
  });
}

Deno.test("a key in the conflist wins over a variable, that over the subnet file, and that over a default", () => {
  const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
  const layer = fc.record({
    type: maybe(fc.constantFrom("bridge", "ptp", "macvlan")),
    mtu: maybe(fc.integer({ min: 576, max: 65535 })),
    ipMasq: maybe(fc.boolean()),
  });
  const given = <T extends object>(object: T) =>
    Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
  fc.assert(
    fc.property(layer, layer, layer, (conflist, variables, file) => {
      const env = [
        "FLANNEL_NETWORK=10.244.0.0/16",
        "FLANNEL_SUBNET=10.244.1.1/24",
        `FLANNEL_MTU=${file.mtu ?? 1450}`,
        // The file says whether the agent masquerades: then the delegate must not.
        `FLANNEL_IPMASQ=${!(file.ipMasq ?? false)}`,
        ...file.type === undefined ? [] : [`FLANNEL_DELEGATE=${file.type}`],
      ].join("\n");
      const built = build({ delegate: given(conflist) }, env, {
        FLANNEL_CNI_DELEGATE_TYPE: variables.type,
        FLANNEL_CNI_MTU: variables.mtu?.toString(),
        FLANNEL_CNI_IP_MASQ: variables.ipMasq?.toString(),
      });
      assertEquals(
        [built.type, built.mtu, built.ipMasq],
        [
          conflist.type ?? variables.type ?? file.type ?? "bridge",
          conflist.mtu ?? variables.mtu ?? file.mtu ?? 1450,
          conflist.ipMasq ?? variables.ipMasq ?? file.ipMasq ?? false,
        ],
      );
    }),
    { seed: SEED, numRuns: 2000 },
  );
});
