import { assertEquals } from "@std/assert";
import {
  describeStep,
  eniPath,
  type EniPathWanted,
  type ObservedEniPath,
  planEniPath,
} from "../../src/host/eni_path.ts";
import { parseAddress, parseMac, parsePrefix } from "../../src/model/address.ts";
import type { ObservedRule, SourceRule } from "../../src/rtnetlink/rule.ts";
import type { TableRoute } from "../../src/rtnetlink/table_route.ts";

const LINK_INDEX = 3;

function wanted(change: Partial<EniPathWanted> = {}): EniPathWanted {
  return {
    interfaceId: "eni-0009",
    mac: parseMac("02:00:00:00:09:10"),
    addresses: [parseAddress("10.0.9.10")],
    subnetPrefixes: ["10.0.9.0/24", "2001:db8:9::/64"].map(parsePrefix),
    vpcPrefixes: ["10.0.0.0/16", "10.1.0.0/16", "2001:db8::/56"].map(parsePrefix),
    isManaged: false,
    mtuBytes: 9001,
    own: ["10.244.1.0/24", "fd00:10:244:1::/64"].map(parsePrefix),
    networks: ["10.244.0.0/16", "fd00:10:244::/48"].map(parsePrefix),
    ...change,
  };
}

function texts({ rules, routes }: { rules: readonly SourceRule[]; routes: readonly TableRoute[] }): string[] {
  return [
    ...rules.map((rule) => describeStep({ action: "put", kind: "rule", rule })),
    ...routes.map((route) => describeStep({ action: "put", kind: "route", route })),
  ];
}

Deno.test("eniPath() leads the cluster network and the VPC by its router, throws own subnets back, and has no default route", () => {
  const path = eniPath(wanted(), LINK_INDEX);
  assertEquals(texts(path), [
    "rule from 10.244.1.0/24 lookup 7676",
    "rule from fd00:10:244:1::/64 lookup 7676",
    "route throw 10.244.1.0/24",
    "route throw fd00:10:244:1::/64",
    "route 10.244.0.0/16 via 10.0.9.1",
    "route fd00:10:244::/48 via fe80:ec2::1",
    "route 10.0.0.0/16 via 10.0.9.1",
    "route 10.1.0.0/16 via 10.0.9.1",
    "route 2001:db8::/56 via fe80:ec2::1",
  ]);
  assertEquals(path.missing, []);
  const led = path.routes.filter(({ gateway }) => gateway !== undefined);
  assertEquals([...new Set(led.map(({ linkIndex, isOnlink }) => `${linkIndex} ${isOnlink}`))], ["3 true"]);
});

Deno.test("eniPath() makes nothing in a family that only one of the two sides has", () => {
  const ipv4 = [
    "rule from 10.244.1.0/24 lookup 7676",
    "route throw 10.244.1.0/24",
    "route 10.244.0.0/16 via 10.0.9.1",
    "route 10.0.0.0/16 via 10.0.9.1",
    "route 10.1.0.0/16 via 10.0.9.1",
  ];
  const withoutSubnet = eniPath(wanted({ subnetPrefixes: [parsePrefix("10.0.9.0/24")] }), LINK_INDEX);
  assertEquals([texts(withoutSubnet), withoutSubnet.missing], [ipv4, [10]]);
  const withoutPods = eniPath(wanted({ own: [parsePrefix("10.244.1.0/24")] }), LINK_INDEX);
  assertEquals([texts(withoutPods), withoutPods.missing], [ipv4, []]);
});

Deno.test("eniPath() makes one route of a prefix that is both the network and an own subnet, which is thrown back", () => {
  const one = [parsePrefix("10.244.1.0/24")];
  const path = eniPath(wanted({ own: one, networks: one, vpcPrefixes: [] }), LINK_INDEX);
  assertEquals(texts(path), ["rule from 10.244.1.0/24 lookup 7676", "route throw 10.244.1.0/24"]);
});

/** What the kernel says when all of a path is there. */
function observed({ rules, routes }: ReturnType<typeof eniPath>): ObservedEniPath {
  return {
    rules: rules.map((rule): ObservedRule => ({
      ...rule,
      family: typeof rule.source.address === "number" ? 2 : 10,
      action: 1,
      isInverted: false,
      isNarrower: false,
    })),
    routes,
  };
}

const steps = (path: ReturnType<typeof eniPath>, there: ObservedEniPath) =>
  planEniPath(path, there).map((step) => `${step.action} ${describeStep(step)}`);

Deno.test("planEniPath() rests when all is there, and leaves alone what bears another's protocol", () => {
  const path = eniPath(wanted(), LINK_INDEX);
  const there = observed(path);
  assertEquals(steps(path, there), []);
  const foreign: ObservedEniPath = {
    rules: [...there.rules, { ...there.rules[0]!, source: parsePrefix("10.9.0.0/16"), protocol: 4 }],
    routes: [...there.routes, { ...there.routes[0]!, destination: parsePrefix("10.9.0.0/16"), protocol: 4 }],
  };
  assertEquals(steps(path, foreign), []);
});

Deno.test("planEniPath() has routes stand before a rule leads to them, and removes a rule before its routes", () => {
  const own = [parsePrefix("10.244.1.0/24")];
  const path = eniPath(wanted({ own, vpcPrefixes: [] }), LINK_INDEX);
  const all = ["route throw 10.244.1.0/24", "route 10.244.0.0/16 via 10.0.9.1"];
  const rule = "rule from 10.244.1.0/24 lookup 7676";
  assertEquals(steps(path, { rules: [], routes: [] }), [...all, rule].map((text) => `put ${text}`));
  const nothing = { rules: [], routes: [], missing: [] };
  assertEquals(steps(nothing, observed(path)), [rule, ...all].map((text) => `delete ${text}`));
});

Deno.test("planEniPath() removes one of ours that stands beside the right one, which is not replaced", () => {
  const path = eniPath(wanted({ own: [parsePrefix("10.244.1.0/24")], vpcPrefixes: [] }), LINK_INDEX);
  const there = observed(path);
  const beside = { ...path.routes[1]!, gateway: parseAddress("10.0.1.1") };
  const found = steps(path, { ...there, routes: [beside, ...there.routes] });
  assertEquals(found, ["delete route 10.244.0.0/16 via 10.0.1.1"]);
});

Deno.test("planEniPath() replaces a route that leads elsewhere, and a rule of another priority once the right one stands", () => {
  const own = [parsePrefix("10.244.1.0/24")];
  const path = eniPath(wanted({ own, vpcPrefixes: [] }), LINK_INDEX);
  const there = observed(path);
  assertEquals(
    steps(path, {
      rules: there.rules.map((rule) => ({ ...rule, priority: 100 })),
      routes: there.routes.map((route) => ({ ...route, linkIndex: route.linkIndex && 9 })),
    }),
    [
      "put route 10.244.0.0/16 via 10.0.9.1",
      "put rule from 10.244.1.0/24 lookup 7676",
      "delete rule from 10.244.1.0/24 lookup 7676",
    ],
  );
});
