import { assertEquals } from "@std/assert";
import { ChangeList, changeText, countChanges, type PlannedChange } from "../../src/model/host_plan.ts";

const kind = "route";
const texts: [change: PlannedChange, text: string][] = [
  [
    { kind, object: "route 10.244.3.0/24 metric 4", becomes: "via 10.244.3.0 dev flannel.1" },
    "+ route 10.244.3.0/24 metric 4 via 10.244.3.0 dev flannel.1",
  ],
  [
    { kind: "address", object: "address 10.244.1.0/32 dev flannel.1", becomes: "" },
    "+ address 10.244.1.0/32 dev flannel.1",
  ],
  [
    { kind: "address", object: "address 10.9.9.9/32 dev flannel.1", was: "" },
    "- address 10.9.9.9/32 dev flannel.1",
  ],
  [
    { kind: "link", object: "link flannel.1", was: "type dummy", why: "it is a dummy link, not vxlan" },
    "- link flannel.1 type dummy (it is a dummy link, not vxlan)",
  ],
  [
    { kind: "link", object: "link flannel.1 mtu", was: "1400", becomes: "1450" },
    "~ link flannel.1 mtu 1400 -> 1450",
  ],
];

for (const [change, text] of texts) {
  Deno.test(`changeText() says "${text}"`, () => assertEquals(changeText(change), text));
}

Deno.test("ChangeList keeps the first changes and counts all, and makes no words for those that it does not keep", () => {
  const list = new ChangeList(2);
  let made = 0;
  for (let row = 0; row < 20_000; row++) {
    list.addRow(() => {
      made++;
      return { kind, object: `route ${row}`, becomes: "" };
    });
  }
  assertEquals([list.changes.map(({ object }) => object), list.total, made], [
    ["route 0", "route 1"],
    20_000,
    2,
  ]);
});

Deno.test("countChanges() counts those that are not listed too", () => {
  const stage = (total: number) => ({ stage: "", changes: [], total, notes: [] });
  assertEquals(countChanges({ source: "", notes: [], stages: [stage(3), stage(19_997)] }), 20_000);
});
