import { assertEquals, assertThrows } from "@std/assert";
import { parsePrefix } from "../../src/model/address.ts";
import type { DesiredLink } from "../../src/model/state.ts";
import type { Table } from "../../src/model/table.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { EADDRNOTAVAIL, EINVAL, ENODEV, ENOENT, EPERM, ESRCH, NetlinkError } from "../../src/linux/errno.ts";
import { applyLinkStep, applyTableStep, describeRow } from "../../src/reconcile/apply.ts";
import type { LinkStep, TableName, TableStep } from "../../src/reconcile/plan.ts";
import { Failures } from "../../src/reconcile/report.ts";
import { fdbTable, neighbourTable, routeTable } from "../netlink/golden.ts";
import { answering } from "./answering.ts";
import { UNDERLAY, VTEP } from "./desired.ts";

const LINKS: readonly DesiredLink[] = [VTEP, UNDERLAY];
const MAC = "0e:2a:00:00:00:0a";

const rows: [table: TableName, rows: Table, text: string][] = [
  [
    "neighbours",
    neighbourTable([{ address: "10.244.2.0", mac: MAC }]),
    `neighbour 10.244.2.0 lladdr ${MAC} dev flannel.1`,
  ],
  [
    "neighbours",
    neighbourTable([{ address: "fd00:10:244:2::", mac: MAC }]),
    `neighbour fd00:10:244:2:: lladdr ${MAC} dev flannel.1`,
  ],
  ["fdb", fdbTable([{ mac: MAC, to: "192.0.2.2" }]), `FDB entry ${MAC} dst 192.0.2.2 dev flannel.1`],
  ["fdb", fdbTable([{ mac: MAC, to: "2001:db8::2" }]), `FDB entry ${MAC} dst 2001:db8::2 dev flannel.1`],
  ["fdb", fdbTable([{ mac: MAC }]), `FDB entry ${MAC} dst none dev flannel.1`],
  ["routes", routeTable([{ to: "10.244.2.0/24" }]), "route 10.244.2.0/24 dev flannel.1"],
  ["routes", routeTable([{ to: "fd00:10:244:2::/64", slot: 1 }]), "route fd00:10:244:2::/64 dev eth0"],
];

for (const [table, { words }, text] of rows) {
  Deno.test(`describeRow() says "${text}"`, () => assertEquals(describeRow(table, words, 0, LINKS), text));
}

/** A step for all rows of a table. */
function whole(table: TableName, operation: TableStep["operation"], rows: Table): TableStep {
  return { table, operation, rows, indices: Uint32Array.from({ length: rows.count }, (_, index) => index) };
}

function apply(step: TableStep, errno: number): Failures {
  const failures = new Failures();
  applyTableStep(new NetlinkClient(answering(() => errno)), step, LINKS, [7, 2], failures);
  return failures;
}

for (const [table, rows] of sample()) {
  for (const errno of [ENOENT, ESRCH, ENODEV, EADDRNOTAVAIL]) {
    Deno.test(`applyTableStep() takes errno ${errno} for success when it deletes from ${table}, and for nothing else`, () => {
      assertEquals(apply(whole(table, "delete", rows), errno).count, 0);
      assertEquals(apply(whole(table, "add", rows), errno).count, rows.count);
      assertEquals(apply(whole(table, "replace", rows), errno).count, rows.count);
    });
  }

  Deno.test(`applyTableStep() reports a deletion from ${table} that the kernel refuses`, () => {
    assertEquals(apply(whole(table, "delete", rows), EPERM).count, rows.count);
  });
}

/** Two rows of each table. */
function sample(): [TableName, Table][] {
  return [
    [
      "neighbours",
      neighbourTable([{ address: "10.244.2.0", mac: MAC }, { address: "10.244.3.0", mac: MAC }]),
    ],
    ["fdb", fdbTable([{ mac: MAC, to: "192.0.2.2" }, { mac: "0e:2a:00:00:00:0b", to: "192.0.2.3" }])],
    ["routes", routeTable([{ to: "10.244.2.0/24" }, { to: "10.244.3.0/24" }])],
  ];
}

Deno.test("applyTableStep() sends the rows that were chosen, and names those that are refused", () => {
  const table = routeTable([{ to: "10.244.2.0/24" }, { to: "10.244.3.0/24" }, { to: "10.244.4.0/24" }]);
  const step: TableStep = { ...whole("routes", "replace", table), indices: Uint32Array.from([2, 0]) };
  assertEquals(apply(step, EINVAL).sentences, [
    "Cannot replace route 10.244.4.0/24 dev flannel.1: EINVAL",
    "Cannot replace route 10.244.2.0/24 dev flannel.1: EINVAL",
  ]);
});

const linkSteps: [step: LinkStep, refused: string][] = [
  [{ kind: "create link", link: VTEP }, "Cannot create link flannel.1: EPERM"],
  [
    { kind: "delete link", linkIndex: 7, name: "flannel.1", why: "it is" },
    "Cannot delete link flannel.1: EPERM",
  ],
  [{ kind: "repair vxlan", linkIndex: 7, link: VTEP, why: "it is" }, "Cannot repair link flannel.1: EPERM"],
  [
    { kind: "change link", linkIndex: 7, name: "flannel.1", change: { isUp: true }, why: "down" },
    "Cannot change link flannel.1: EPERM",
  ],
  [
    { kind: "add address", name: "flannel.1", prefix: parsePrefix("10.244.1.0/32") },
    "Cannot read link flannel.1: EPERM",
  ],
];

for (const [step, refused] of linkSteps) {
  Deno.test(`applyLinkStep() throws "${refused}" when the kernel refuses to ${step.kind}`, () => {
    const client = new NetlinkClient(answering(() => EPERM));
    assertThrows(() => applyLinkStep(client, step), NetlinkError, refused);
  });
}

Deno.test("applyLinkStep() is content when a link to be deleted is gone already", () => {
  const step: LinkStep = { kind: "delete link", linkIndex: 7, name: "flannel.1", why: "it is" };
  applyLinkStep(new NetlinkClient(answering(() => ENODEV)), step);
});

for (const kind of ["add address", "delete address"] as const) {
  Deno.test(`applyLinkStep() says that there is no link when it is to ${kind} on one that is gone`, () => {
    const step: LinkStep = { kind, name: "flannel.1", prefix: parsePrefix("10.244.1.0/32") };
    const client = new NetlinkClient(answering(() => ENODEV));
    assertThrows(
      () => applyLinkStep(client, step),
      NetlinkError,
      'Cannot use link flannel.1: ENODEV, "it does not exist"',
    );
  });
}
