import { assertEquals } from "@std/assert";
import { AgentStateFile } from "../../src/agent/agent_state_file.ts";
import type { Condition } from "../../src/model/condition.ts";
import { agentStatePath, readAgentState } from "../../src/pods/agent_state.ts";

const NO_LEASE: Condition = { code: "lease-missing", sentence: "no lease" };

async function withKeeper(
  body: (keeper: AgentStateFile, path: string) => void | Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-state-" });
  let now = 0;
  try {
    const keeper = new AgentStateFile(`${folder}/subnet.env`, {
      now: () => new Date(now++),
    });
    await body(keeper, agentStatePath(`${folder}/subnet.env`));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("AgentStateFile says what is new, and when it began", async () => {
  await withKeeper((keeper, path) => {
    assertEquals(readAgentState(path), undefined);
    keeper.keep([NO_LEASE]);
    keeper.keep([NO_LEASE]);
    assertEquals(readAgentState(path), { reasons: [NO_LEASE], at: new Date(0) });
    keeper.keep([]);
    assertEquals(readAgentState(path), { reasons: [], at: new Date(1) });
  });
});

Deno.test("AgentStateFile says again what was removed", async () => {
  await withKeeper((keeper, path) => {
    keeper.keep([NO_LEASE]);
    Deno.removeSync(path);
    keeper.keep([NO_LEASE]);
    assertEquals(readAgentState(path)?.reasons, [NO_LEASE]);
  });
});

Deno.test("AgentStateFile says while it can't write, and writes what it has to say when it can", async () => {
  await withKeeper((keeper, path) => {
    Deno.mkdirSync(path);
    keeper.keep([NO_LEASE]);
    assertEquals(keeper.conditions.map(({ code }) => code), ["state-not-written"]);
    Deno.removeSync(path);
    keeper.keep([NO_LEASE]);
    assertEquals([keeper.conditions, readAgentState(path)?.reasons], [[], [NO_LEASE]]);
  });
});

const texts: [text: string, reasons: { code?: string; sentence: string }[]][] = [
  ['{"reasons":["a"],"at":"2026-01-01"}', [{ sentence: "a" }]],
  ['{"reasons":["a","b"],"codes":["agent-ended"],"at":"2026-01-01"}', [
    { code: "agent-ended", sentence: "a" },
    { sentence: "b" },
  ]],
  ['{"reasons":["a"],"codes":["a\\nb"],"at":"2026-01-01"}', [{ sentence: "a" }]],
];

for (const [text, reasons] of texts) {
  Deno.test(`readAgentState() takes of ${text} what names a reason`, async () => {
    await withKeeper((_keeper, path) => {
      Deno.writeTextFileSync(path, text);
      assertEquals(readAgentState(path)?.reasons, reasons);
    });
  });
}

for (const text of ["", "{", "null", '{"reasons":"x","at":"2026-01-01"}', '{"reasons":[],"at":"never"}']) {
  Deno.test(`readAgentState() makes nothing of ${JSON.stringify(text)}`, async () => {
    await withKeeper((_keeper, path) => {
      Deno.writeTextFileSync(path, text);
      assertEquals(readAgentState(path), undefined);
    });
  });
}
