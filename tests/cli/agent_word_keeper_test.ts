import { assertEquals } from "@std/assert";
import { AgentWordKeeper } from "../../src/cli/agent_word_keeper.ts";
import { agentWordPath, readAgentWord } from "../../src/cni/agent_word.ts";
import { until } from "../double/overlay_rig.ts";

async function withKeeper(
  body: (keeper: AgentWordKeeper, path: string, log: string[]) => void | Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-word-" });
  const log: string[] = [];
  let now = 0;
  try {
    const keeper = new AgentWordKeeper(`${folder}/subnet.env`, {
      log: {
        write: (level, event) => void log.push(`${level} ${event}`),
        with() {
          return this;
        },
      },
      now: () => new Date(now++),
    });
    await body(keeper, agentWordPath(`${folder}/subnet.env`), log);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("AgentWordKeeper says what is new, and when it began", async () => {
  await withKeeper((keeper, path) => {
    assertEquals(readAgentWord(path), undefined);
    keeper.keep(["no lease"]);
    keeper.keep(["no lease"]);
    assertEquals(readAgentWord(path), { reasons: ["no lease"], at: new Date(0) });
    keeper.keep([]);
    assertEquals(readAgentWord(path), { reasons: [], at: new Date(1) });
  });
});

Deno.test("AgentWordKeeper follows the reasons until it is disposed", async () => {
  await withKeeper(async (keeper, path) => {
    let reasons = ["a"];
    {
      using _following = keeper.follow(() => reasons);
      assertEquals(readAgentWord(path)?.reasons, ["a"]);
      reasons = ["b"];
      await until("have the word changed", () => readAgentWord(path)?.reasons[0] === "b" || undefined);
    }
  });
});

Deno.test("AgentWordKeeper only warns where it can't write", async () => {
  await withKeeper((keeper, path, log) => {
    Deno.mkdirSync(path);
    keeper.keep(["a"]);
    keeper.keep(["a"]);
    assertEquals(log, ["warn agent's state not written"]);
  });
});

for (const text of ["", "{", "null", '{"reasons":"x","at":"2026-01-01"}', '{"reasons":[],"at":"never"}']) {
  Deno.test(`readAgentWord() makes nothing of ${JSON.stringify(text)}`, async () => {
    await withKeeper((_keeper, path) => {
      Deno.writeTextFileSync(path, text);
      assertEquals(readAgentWord(path), undefined);
    });
  });
}
