import { assert, assertEquals } from "@std/assert";
import type { CloudRoute, CloudTable } from "../../../src/cloud/aws/ec2_calls.ts";
import { type CloudChange, planCloud, type RoutePolicy } from "../../../src/cloud/aws/route_plan.ts";
import { formatPrefix, isOverlapping, parsePrefix, prefixEquals } from "../../../src/model/address.ts";
import type { DesiredCloud } from "../../../src/model/state.ts";
import { pick, SEED, seededRandom } from "../../double/random.ts";
import { desiredOf } from "./aws_rig.ts";

const OWN = "10.244.1.0/24";
const POLICY: RoutePolicy = {
  eniId: "eni-own",
  attached: new Set(["eni-own", "eni-second"]),
  takesForeign: true,
  cleansBlackholes: true,
};

/** `DESTINATION TARGET [blackhole] [propagated] [local]`. */
function routeOf(line: string): CloudRoute {
  const [destination, target, ...marks] = line.split(" ");
  return {
    destination: parsePrefix(destination!),
    ...target!.startsWith("eni-") ? { eniId: target! } : { target: target! },
    isBlackhole: marks.includes("blackhole"),
    isPropagated: marks.includes("propagated"),
    isLocal: marks.includes("local"),
  };
}

function tableOf(...lines: readonly string[]): CloudTable {
  return { id: "rtb-1", vpcId: "vpc-1", routes: lines.map(routeOf) };
}

const show = ({ action, destination, eniId }: CloudChange) =>
  [action, formatPrefix(destination), ...eniId === undefined ? [] : [eniId]].join(" ");

const cases: readonly [routes: string[], policy: Partial<RoutePolicy>, changes: string[], why: string][] = [
  [[], {}, [`CreateRoute ${OWN} eni-own`], "it is not there"],
  [[`${OWN} eni-own`], {}, [], "it is there"],
  [[`${OWN} eni-own blackhole`], {}, [`ReplaceRoute ${OWN} eni-own`], "it leads nowhere"],
  [[`${OWN} eni-other`], {}, [`ReplaceRoute ${OWN} eni-own`], "it leads to another host"],
  [[`${OWN} eni-other`], { takesForeign: false }, [], "another host's is kept"],
  [
    [`${OWN} eni-second`],
    { takesForeign: false },
    [`ReplaceRoute ${OWN} eni-own`],
    "it leads to this host's other interface",
  ],
  [[`${OWN} tgw-1`], {}, [`ReplaceRoute ${OWN} eni-own`], "it leads to a gateway"],
  [
    [`${OWN} vgw-1 propagated`],
    {},
    [`CreateRoute ${OWN} eni-own`],
    "what is announced gives way to what is made",
  ],
  [[`${OWN} local local`], {}, [], "the VPC's own is not replaced"],
  [[`${OWN} eni-other local`], {}, [], "also where it was led elsewhere"],
  [[`${OWN} eni-other blackhole local`], {}, [], "and that is gone"],
  [[`${OWN} eni-own`, "10.244.7.0/24 eni-own"], {}, ["DeleteRoute 10.244.7.0/24"], "a former subnet's goes"],
  [[`${OWN} eni-own`, "10.244.7.0/24 eni-own local"], {}, [], "unless it is the VPC's own"],
  [
    [`${OWN} eni-own`, "10.244.7.0/24 eni-gone blackhole"],
    {},
    ["DeleteRoute 10.244.7.0/24"],
    "what is left behind goes",
  ],
  [[`${OWN} eni-own`, "10.244.7.0/24 eni-gone blackhole local"], {}, [], "unless it is the VPC's own"],
  [[`${OWN} eni-own`, "10.244.7.0/24 tgw-1 blackhole"], {}, [], "a gateway's is none of a host's"],
  [[`${OWN} eni-own`, "10.244.2.0/24 eni-gone blackhole"], {}, [], "that host will make it again"],
  [
    [`${OWN} eni-own`, "10.244.0.0/20 eni-gone blackhole", "10.9.0.0/24 eni-gone blackhole"],
    {},
    [],
    "no host's subnet",
  ],
  [
    [`${OWN} eni-own`, "10.244.7.0/24 eni-gone blackhole"],
    { cleansBlackholes: false },
    [],
    "it is to be left",
  ],
  [
    [`${OWN} eni-own`, "0.0.0.0/0 igw-1", "10.9.0.0/24 eni-own"],
    {},
    [],
    "what else there is is nobody's business",
  ],
];

for (const [routes, policy, changes, why] of cases) {
  Deno.test(`planCloud() plans ${JSON.stringify(changes)} for ${JSON.stringify(routes)}: ${why}`, () => {
    const desired = desiredOf({ own: [OWN], peers: ["10.244.2.0/24"] });
    const plan = planCloud(desired, [tableOf(...routes)], { ...POLICY, ...policy });
    assertEquals(plan.changes.map(show), changes);
  });
}

Deno.test("planCloud() tells what takes this host's packets, whole or in part, and whether it was taken", () => {
  const desired = desiredOf({ own: [OWN, "10.244.3.0/24"] });
  const table = tableOf(
    `${OWN} eni-other`,
    "10.244.3.0/24 local local",
    "10.244.1.128/25 tgw-1",
    "10.244.1.0/26 eni-own",
    "10.244.0.0/16 local local",
  );
  const { foreign, overlapping, unrouted } = planCloud(desired, [table], POLICY);
  assertEquals(
    foreign.map(({ destination, target, isWhole, isLocal, isTaken }) =>
      [formatPrefix(destination), target, isWhole, isLocal, isTaken].join(" ")
    ),
    [
      `${OWN} eni-other true false true`,
      "10.244.1.128/25 tgw-1 false false false",
      "10.244.3.0/24 local true true false",
    ],
  );
  assertEquals(overlapping.map(({ vpc }) => formatPrefix(vpc)), ["10.244.3.0/24", "10.244.0.0/16"]);
  assertEquals(unrouted, []);
});

Deno.test("planCloud() names hosts that a table has no working route to, table by table", () => {
  const desired = desiredOf({ own: [], peers: ["10.244.2.0/24", "10.244.3.0/24", "10.244.4.0/24"] });
  const first = tableOf("10.244.2.0/24 eni-2", "10.244.3.0/24 eni-3 blackhole");
  const plan = planCloud(desired, [first, { ...first, id: "rtb-2", routes: [] }], POLICY);
  assertEquals(plan.unrouted.map(({ tableId, subnet }) => `${tableId} ${formatPrefix(subnet)}`), [
    "rtb-1 10.244.3.0/24",
    "rtb-1 10.244.4.0/24",
    "rtb-2 10.244.2.0/24",
    "rtb-2 10.244.3.0/24",
    "rtb-2 10.244.4.0/24",
  ]);
});

/** Does what EC2 does to a table; refuses what EC2 refuses. */
function applied({ routes, ...table }: CloudTable, { action, destination, eniId }: CloudChange): CloudTable {
  const at = routes.findIndex((one) => !one.isPropagated && prefixEquals(one.destination, destination));
  const old = routes[at];
  assertEquals(old === undefined, action === "CreateRoute", `${action} of ${formatPrefix(destination)}`);
  assert(old?.isLocal !== true, "the VPC's own stays");
  const made = eniId === undefined
    ? []
    : [{ destination, eniId, isBlackhole: false, isPropagated: false, isLocal: false }];
  return { ...table, routes: old === undefined ? [...routes, ...made] : routes.toSpliced(at, 1, ...made) };
}

/** What may be deleted, said another way than the planner says it. */
function mayGo(route: CloudRoute, { own, peers }: DesiredCloud, policy: RoutePolicy): boolean {
  const { destination: { address, length }, eniId, isLocal, isPropagated, isBlackhole } = route;
  const isHosts = typeof address === "number"
    ? length === 24 && address >>> 16 === 0x0af4
    : length === 64 && address >> 80n === 0xfd00_0244_0000n;
  if (!isHosts || eniId === undefined || isLocal || isPropagated) return false;
  const overlaps = (subnets: typeof own) => subnets.some((one) => isOverlapping(one, route.destination));
  if (overlaps(own)) return false;
  if (isBlackhole) return policy.cleansBlackholes && !overlaps(peers);
  // A host that has the subnet now replaces the route itself.
  const isPeers = peers.some((one) => prefixEquals(one, route.destination));
  return policy.attached.has(eniId) && !(policy.takesForeign && isPeers);
}

const DESTINATIONS = [
  ...[1, 2, 3, 4, 5].map((n) => `10.244.${n}.0/24`),
  ...["10.244.1.128/25", "10.244.0.0/16", "10.244.2.0/23", "10.9.0.0/24", "0.0.0.0/0"],
  ...[1, 2].map((n) => `fd00:244:0:${n}::/64`),
  ...["fd00:244:0:1:8000::/65", "::/0", "fd00:9::/64"],
];
const TARGETS = ["eni-own", "eni-second", "eni-other", "eni-gone", "tgw-1", "igw-1", "local"];

/** A table as no human would make it; one route a destination that was made, and one that was announced. */
function randomTable(random: () => number): CloudTable {
  const routes = DESTINATIONS.flatMap((destination) => {
    const line = () => {
      const target = pick(random, TARGETS);
      const marks = [
        ...target !== "local" && random() < 0.3 ? ["blackhole"] : [],
        ...target === "local" || random() < 0.1 ? ["local"] : [],
      ];
      return [destination, target, ...marks].join(" ");
    };
    return [
      ...random() < 0.5 ? [routeOf(line())] : [],
      ...random() < 0.1 ? [{ ...routeOf(`${destination} vgw-1`), isPropagated: true }] : [],
    ];
  });
  return { id: "rtb-1", vpcId: "vpc-1", routes };
}

Deno.test("whatever a table holds: one plan makes it right, a second one is empty, and what is others' stays", () => {
  for (let round = 0; round < 2000; round++) {
    const seed = SEED + round;
    const random = seededRandom(seed);
    const some = (from: readonly string[]) => from.filter(() => random() < 0.4);
    const own = some([OWN, "10.244.2.0/24", "fd00:244:0:1::/64"]);
    const peers = some(["10.244.3.0/24", "10.244.4.0/24", "fd00:244:0:2::/64"]);
    const desired = desiredOf({ own, peers, networks: ["10.244.0.0/16 24", "fd00:244::/48 64"] });
    const policy = { ...POLICY, takesForeign: random() < 0.5, cleansBlackholes: random() < 0.5 };
    const before = randomTable(random);
    const why = `LODEN_SEED=${seed}`;
    const { changes } = planCloud(desired, [before], policy);
    const after = changes.reduce(applied, before);
    assertEquals(planCloud(desired, [after], policy).changes, [], why);
    for (const subnet of desired.own) {
      const is = (route: CloudRoute) => !route.isPropagated && prefixEquals(route.destination, subnet);
      const old = before.routes.find(is);
      const isOthers = old !== undefined && !old.isBlackhole && !policy.attached.has(old.eniId ?? "");
      const stays = old?.isLocal === true || isOthers && !policy.takesForeign;
      const expected = stays ? old : { eniId: "eni-own", isBlackhole: false };
      const found = after.routes.find(is);
      assertEquals([found?.eniId, found?.isBlackhole], [expected.eniId, expected.isBlackhole], why);
    }
    const isOwn = (route: CloudRoute) =>
      desired.own.some((subnet) => prefixEquals(subnet, route.destination));
    const others = before.routes.filter((route) => !isOwn(route) || route.isPropagated);
    const left = after.routes.filter((route) => !isOwn(route) || route.isPropagated);
    assertEquals(left, others.filter((route) => !mayGo(route, desired, policy)), why);
  }
});
