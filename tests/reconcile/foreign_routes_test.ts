import { assertEquals } from "@std/assert";
import { NO_SLOT } from "../../src/model/rows.ts";
import type { Table } from "../../src/model/table.ts";
import {
  describeForeign,
  findForeign,
  type ForeignHit,
  isTakable,
  withoutLinks,
} from "../../src/reconcile/foreign_routes.ts";
import { routeTable, type RouteText } from "../netlink/golden.ts";

const RTPROT_KERNEL = 2;
const RTPROT_STATIC = 4;
const RTN_BLACKHOLE = 6;

const FAMILIES = {
  IPv4: {
    desired: [
      { to: "10.244.2.0/24", via: "10.244.2.0", metric: 3 },
      { to: "10.244.3.0/24", via: "10.244.3.0", metric: 4 },
      { to: "10.244.4.0/26", via: "10.244.4.0", metric: 17 },
      { to: "10.244.1.0/24", type: RTN_BLACKHOLE, slot: NO_SLOT, metric: 0xffff_ffff },
    ],
    metric: 3,
    subnet: "10.244.2.0/24",
    short: "10.244.4.0/26",
    own: "10.244.1.0/24",
    part: "10.244.2.128/25",
    host: "10.244.2.7/32",
    wider: "10.244.0.0/16",
    other: "10.244.9.0/24",
    partOfShort: "10.244.4.32/27",
    besideShort: "10.244.4.64/27",
  },
  IPv6: {
    desired: [
      { to: "fd00:10:244:2::/64", via: "fd00:10:244:2::", metric: 1024 },
      { to: "fd00:10:244:3::/64", via: "fd00:10:244:3::", metric: 1024 },
      { to: "fd00:10:244:4::/80", via: "fd00:10:244:4::", metric: 1024 },
      { to: "fd00:10:244:1::/64", type: RTN_BLACKHOLE, slot: NO_SLOT, metric: 0xffff_ffff },
    ],
    metric: 1024,
    subnet: "fd00:10:244:2::/64",
    short: "fd00:10:244:4::/80",
    own: "fd00:10:244:1::/64",
    part: "fd00:10:244:2:8000::/65",
    host: "fd00:10:244:2::7/128",
    wider: "fd00:10:244::/48",
    other: "fd00:10:244:9::/64",
    partOfShort: "fd00:10:244:4:0:1::/96",
    besideShort: "fd00:10:244:4:1::/96",
  },
} as const;

/** The kernel's link index of slot 0, which is that of every desired route here. */
const LINK_INDEX = 99;

/** Finds the foreign routes, none of which leads where ours does. */
function find(desired: Table, foreign: Table): Omit<ForeignHit, "isAlike">[] {
  return findForeign(desired, foreign, [LINK_INDEX]).map(({ isAlike, ...hit }) => {
    assertEquals(isAlike, false);
    return hit;
  });
}

for (const [name, family] of Object.entries(FAMILIES)) {
  const { metric, subnet, short, own, part, host, wider, other, partOfShort, besideShort } = family;
  const desired = routeTable(family.desired);
  const cases: [why: string, route: RouteText, hit: [row: number, kind: string] | undefined][] = [
    ["the same metric", { to: subnet, metric }, [0, "same"]],
    ["a lower metric", { to: subnet, metric: metric - 1 }, [0, "before"]],
    ["no metric", { to: subnet }, [0, "before"]],
    ["a higher metric", { to: subnet, metric: metric + 1 }, undefined],
    ["the highest metric, which is unsigned", { to: subnet, metric: 0xffff_ffff }, undefined],
    ["a part of a subnet", { to: part, metric: 0xffff_ffff }, [0, "part"]],
    ["one address of a subnet", { to: host }, [0, "part"]],
    ["more than a subnet", { to: wider }, undefined],
    ["a subnet that is nobody's", { to: other }, undefined],
    ["a subnet of another length", { to: short }, [2, "before"]],
    ["a part of a subnet of another length", { to: partOfShort }, [2, "part"]],
    ["what is beside a subnet of another length", { to: besideShort }, undefined],
    ["no place, as it drops packets", { to: subnet, metric, type: RTN_BLACKHOLE }, [0, "same"]],
    ["a subnet that a black hole is for", { to: own }, undefined],
    ["some packets of a subnet", { to: subnet, isSelective: true }, [0, "part"]],
    ["a black hole's very place", { to: own, metric: 0xffff_ffff }, undefined],
  ];

  for (const [why, route, hit] of cases) {
    const verdict = hit === undefined ? "minds no" : `finds a`;
    Deno.test(`findForeign() ${verdict} foreign route to ${route.to} with metric ${route.metric ?? 0}, ${name}: ${why}`, () => {
      const foreign = routeTable([{ to: "192.0.2.0/24" }, { to: "2001:db8::/64" }, route]);
      const expected = hit === undefined ? [] : [{ row: hit[0], foreignRow: 2, kind: hit[1] }];
      assertEquals(find(desired, foreign), expected as ReturnType<typeof find>);
    });
  }
}

Deno.test("findForeign() keeps the families apart, whatever the words of their addresses", () => {
  // ac4:200:: begins with the word of 10.244.2.0.
  const desired = routeTable([{ to: "10.244.2.0/24" }, { to: "af4:200::/24", metric: 1024 }]);
  assertEquals(find(desired, routeTable([{ to: "af4:200::/24", metric: 1024 }])), [
    { row: 1, foreignRow: 0, kind: "same" },
  ]);
  assertEquals(find(desired, routeTable([{ to: "10.244.2.0/24" }])), [
    { row: 0, foreignRow: 0, kind: "same" },
  ]);
});

Deno.test("findForeign() finds every route that is in the way, and each desired one that it is in the way of", () => {
  const desired = routeTable([{ to: "10.244.0.0/16", metric: 5 }, { to: "10.244.2.0/24", metric: 3 }]);
  const foreign = routeTable([{ to: "10.244.2.0/24" }, { to: "10.244.2.0/24", metric: 3 }]);
  assertEquals(find(desired, foreign), [
    { row: 0, foreignRow: 0, kind: "part" },
    { row: 1, foreignRow: 0, kind: "before" },
    { row: 0, foreignRow: 1, kind: "part" },
    { row: 1, foreignRow: 1, kind: "same" },
  ]);
});

Deno.test("findForeign() finds nothing in an empty table, on either side", () => {
  const some = routeTable([{ to: "10.244.2.0/24" }]);
  assertEquals([find(some, routeTable([])), find(routeTable([]), some)], [[], []]);
});

const alike: [route: Partial<RouteText>, isAlike: boolean][] = [
  [{}, true],
  [{ metric: 3 }, true],
  [{ to: "10.244.2.128/25" }, true],
  [{ to: "10.244.2.128/25", via: "192.0.2.8" }, false],
  [{ slot: 7 }, false],
  [{ via: "192.0.2.8" }, false],
  [{ type: RTN_BLACKHOLE }, false],
  [{ mtuBytes: 1280 }, false],
  [{ objectId: 5 }, false],
  [{ isShared: true }, false],
];

for (const [change, isAlike] of alike) {
  const verdict = isAlike ? "sees that" : "does not take it that";
  Deno.test(`findForeign() ${verdict} a route leads where ours does with ${JSON.stringify(change)}`, () => {
    const way = { to: "10.244.2.0/24", via: "192.0.2.9" };
    const desired = routeTable([{ ...way, slot: 0, metric: 3 }]);
    const foreign = routeTable([{ ...way, slot: LINK_INDEX, protocol: 3, ...change }]);
    assertEquals(findForeign(desired, foreign, [LINK_INDEX]).map((hit) => hit.isAlike), [isAlike]);
  });
}

Deno.test("isTakable() spares the kernel's own routes, and parts of a subnet", () => {
  const foreign = routeTable([
    { to: "10.244.2.0/24", protocol: RTPROT_STATIC },
    { to: "10.244.2.0/24", protocol: RTPROT_KERNEL },
  ]);
  const verdicts = (["same", "before", "part"] as const).map((kind) =>
    [0, 1].map((foreignRow) => isTakable(foreign, { row: 0, foreignRow, kind, isAlike: false }))
  );
  assertEquals(verdicts, [[true, false], [true, false], [false, false]]);
});

Deno.test("withoutLinks() copies routes, and lets the kernel look for them over any link", () => {
  const routes: RouteText[] = [
    { to: "10.244.2.0/24", via: "192.0.2.9", slot: 7, metric: 3 },
    { to: "fd00:10:244:2::/64", slot: 0 },
  ];
  const foreign = routeTable(routes);
  const before = [...foreign.words];
  assertEquals(
    withoutLinks(foreign).words,
    routeTable(routes.map((route) => ({ ...route, slot: NO_SLOT }))).words,
  );
  assertEquals([...foreign.words], before);
});

const texts: [route: RouteText, text: string][] = [
  [
    { to: "10.244.2.0/24", via: "192.0.2.9", slot: 2, protocol: RTPROT_STATIC },
    "10.244.2.0/24 via 192.0.2.9 dev eth0 proto static",
  ],
  [
    { to: "10.244.2.0/24", slot: 2, protocol: RTPROT_KERNEL, metric: 100 },
    "10.244.2.0/24 dev eth0 proto kernel metric 100",
  ],
  [
    { to: "fd00:10:244:2::/64", via: "fe80::1", slot: 2, protocol: 186, metric: 20 },
    "fd00:10:244:2::/64 via fe80::1 dev eth0 proto bgp metric 20",
  ],
  [
    { to: "10.244.2.0/24", objectId: 5, slot: 2, protocol: 196 },
    "10.244.2.0/24 nhid 5 dev eth0 proto 196",
  ],
  [{ to: "10.244.2.0/24", slot: 9, protocol: 12 }, "10.244.2.0/24 dev 9 proto bird"],
  [
    { to: "10.244.2.0/24", slot: 0, type: RTN_BLACKHOLE, protocol: 3 },
    "blackhole 10.244.2.0/24 proto boot",
  ],
  [
    { to: "fd00:10:244:2::/64", slot: 1, type: 7, protocol: 3, metric: 0xffff_ffff },
    "unreachable fd00:10:244:2::/64 dev lo proto boot metric 4294967295",
  ],
  [{ to: "10.244.2.7/32", slot: 0, type: 8, protocol: 9 }, "prohibit 10.244.2.7/32 proto ra"],
  [{ to: "10.244.2.0/24", slot: 0, type: 77, protocol: 0 }, "10.244.2.0/24 proto 0"],
  [
    { to: "10.244.2.0/24", via: "192.0.2.9", slot: 2, protocol: RTPROT_STATIC, isShared: true },
    "10.244.2.0/24 via 192.0.2.9 dev eth0 proto static (one of several next hops)",
  ],
  [
    { to: "fd00:10:244:2::/64", via: "fe80::1", slot: 2, protocol: 0, metric: 1024, isShared: true },
    "fd00:10:244:2::/64 via fe80::1 dev eth0 metric 1024 (one of several next hops)",
  ],
  [
    { to: "10.244.2.0/24", slot: 2, protocol: RTPROT_STATIC, isSelective: true },
    "10.244.2.0/24 dev eth0 proto static (for one TOS or source)",
  ],
];

for (const [route, text] of texts) {
  Deno.test(`describeForeign() says "${text}"`, () => {
    const names = new Map([[1, "lo"], [2, "eth0"]]);
    const foreign = routeTable([{ to: "0.0.0.0/0" }, route]);
    assertEquals(describeForeign(foreign, 1, (linkIndex) => names.get(linkIndex)), text);
  });
}
