import { assertEquals } from "@std/assert";
import { openBlame } from "../../src/agent/blame.ts";

type Owner = ReturnType<Parameters<typeof openBlame>[0]["owner"]>;

function rig(ports: Readonly<Record<string, number>>, owners: Readonly<Record<number, Owner>>) {
  let nowMs = 0;
  const asked: number[] = [];
  const blame = openBlame({
    culprits: { recentPortOf: (thing) => ports[thing] },
    owner: (portId) => {
      asked.push(portId);
      return owners[portId];
    },
    elapsedMs: () => nowMs,
  });
  return { blame, asked, at: (ms: number) => nowMs = ms };
}

const words: readonly (readonly [owner: Owner, words: string])[] = [
  [{ pid: 7, program: "bird" }, "bird (process 7)"],
  ["closed", "a program that has ended (process 4711)"],
  [undefined, "process 4711"],
];

for (const [owner, said] of words) {
  Deno.test(`openBlame() says "${said}" of ${JSON.stringify(owner ?? null)}`, () => {
    assertEquals(rig({ "route 10.0.0.0/8": 4711 }, { 4711: owner }).blame("route 10.0.0.0/8"), said);
  });
}

Deno.test("openBlame() says nothing of what nobody is known to have changed, and looks for nobody", () => {
  const { blame, asked } = rig({}, {});
  assertEquals([blame("link flannel.1"), asked], [undefined, []]);
});

Deno.test("openBlame() looks once a second at most, and keeps what it found for half a minute", () => {
  const { blame, asked, at } = rig({ a: 1, b: 2 }, {
    1: { pid: 1, program: "x" },
    2: { pid: 2, program: "y" },
  });
  assertEquals([blame("a"), blame("b"), blame("a")], ["x (process 1)", "process 2", "x (process 1)"]);
  at(1000);
  assertEquals([blame("b"), blame("a")], ["y (process 2)", "x (process 1)"]);
  assertEquals(asked, [1, 2]);
  at(30_000);
  blame("a");
  assertEquals(asked, [1, 2, 1]);
});
