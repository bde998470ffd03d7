import { assertEquals } from "@std/assert";
import { eniPath } from "../../src/host/eni_path.ts";
import { findTakers } from "../../src/host/eni_path_takers.ts";
import { parseMac, parsePrefix } from "../../src/model/address.ts";
import type { ObservedRule } from "../../src/rtnetlink/rule.ts";
import type { TableRoute } from "../../src/rtnetlink/table_route.ts";

const path = eniPath({
  interfaceId: "eni-0009",
  mac: parseMac("02:00:00:00:09:10"),
  addresses: [],
  subnetPrefixes: [parsePrefix("10.0.9.0/24")],
  vpcPrefixes: [parsePrefix("10.0.0.0/16")],
  isManaged: false,
  mtuBytes: 9001,
  own: [parsePrefix("10.244.1.0/24")],
  networks: [parsePrefix("10.244.0.0/16")],
}, 3);

const route = (destination: string, type = 1): TableRoute => ({
  destination: parsePrefix(destination),
  table: 52,
  protocol: 3,
  type,
  metric: 0,
  linkIndex: 2,
  isOnlink: false,
});

const rule = (change: Partial<ObservedRule>): ObservedRule => ({
  family: 2,
  priority: 5270,
  action: 1,
  table: 52,
  protocol: 0,
  isInverted: false,
  isNarrower: false,
  ...change,
});

/** A rule before ours, the routes that it leads to, and how it is named if it takes something. */
const cases: [what: string, change: Partial<ObservedRule>, routes: string[], text: string | undefined][] = [
  ["a default route", {}, ["0.0.0.0/0"], "5270: from all lookup 52"],
  ["a part of the VPC", {}, ["10.0.2.0/24"], "5270: from all lookup 52"],
  ["no route at all", {}, [], undefined],
  ["routes elsewhere", {}, ["100.64.0.0/10"], undefined],
  ["a route to a pod of this host", {}, ["10.244.1.7/32"], undefined],
  ["a default route that does not count", { suppressedLength: 0 }, ["0.0.0.0/0"], undefined],
  ["the table of own addresses", { table: 255, priority: 0 }, ["10.0.2.0/24"], undefined],
  ["a later rule", { priority: 7677 }, ["0.0.0.0/0"], undefined],
  [
    "a rule for some of the pods",
    { source: parsePrefix("10.244.1.7/32") },
    ["0.0.0.0/0"],
    "5270: from 10.244.1.7/32 lookup 52",
  ],
  ["a rule for another host's pods", { source: parsePrefix("10.244.2.0/24") }, ["0.0.0.0/0"], undefined],
  ["a rule for the internet", { destination: parsePrefix("192.0.2.0/24") }, ["0.0.0.0/0"], undefined],
  ["a rule for what leaves by a link", { outputLink: "eth0" }, ["0.0.0.0/0"], undefined],
  ["a rule for what the host sends", { inputLink: "lo" }, ["0.0.0.0/0"], undefined],
  [
    "a rule for what comes from pods",
    { inputLink: "cni0" },
    ["0.0.0.0/0"],
    "5270: from all iif cni0 lookup 52",
  ],
  [
    "a rule for all but other sources",
    { isInverted: true, source: parsePrefix("192.0.2.0/24") },
    ["0.0.0.0/0"],
    "5270: not from 192.0.2.0/24 lookup 52",
  ],
  [
    "a rule for all but pods",
    { isInverted: true, source: parsePrefix("10.244.0.0/16") },
    ["0.0.0.0/0"],
    undefined,
  ],
  ["a rule that leads on", { action: 3, table: 0 }, [], undefined],
  ["a rule for VRFs", { table: 0, isNarrower: true }, ["0.0.0.0/0"], undefined],
  ["a rule that drops", { action: 6, table: 0 }, [], "5270: from all blackhole"],
  ["a rule of the other family", { family: 10 }, ["0.0.0.0/0"], undefined],
];

for (const [what, change, destinations, text] of cases) {
  Deno.test(`findTakers() ${text === undefined ? "passes by" : "names"} a rule before ours with ${what}`, () => {
    const observed = { rules: [rule(change)], routes: path.routes };
    const found = findTakers(path, observed, () => destinations.map((one) => route(one)));
    assertEquals(found, text === undefined ? [] : [`the routing policy rule "${text}"`]);
  });
}

Deno.test("findTakers() names a route of another in the table that is more than this host's own pods", () => {
  const others = ["10.244.7.0/24", "10.244.1.9/32", "192.0.2.0/24"].map((one) => ({
    ...route(one),
    table: 7676,
  }));
  const found = findTakers(path, { rules: [], routes: [...path.routes, ...others] }, () => []);
  assertEquals(found, ["the route 10.244.7.0/24 in table 7676"]);
});

Deno.test("findTakers() reads no other table while no rule stands before ours", () => {
  const unread = () => {
    throw new Error("read");
  };
  assertEquals(findTakers(path, { rules: [rule({ priority: 32766, table: 254 })], routes: [] }, unread), []);
});
