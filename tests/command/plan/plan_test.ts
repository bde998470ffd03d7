import { assert, assertEquals, assertRejects } from "@std/assert";
import { notedFlagsPath } from "../../../src/agent/noted_flags.ts";
import { AgentDoorError } from "../../../src/command/agent_door.ts";
import type { Output } from "../../../src/command/output.ts";
import { runPlan } from "../../../src/command/plan/plan.ts";
import { Libc } from "../../../src/linux/libc.ts";
import { UnixListener } from "../../../src/linux/unix_listener.ts";
import type { HostPlan } from "../../../src/model/host_plan.ts";
import { HttpServer } from "../../../src/status/http_server.ts";

/** Runs `test` with a folder for an agent's files. */
async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "loden-plan-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs `loden plan` for the agent whose files are in a folder. */
async function planIn(folder: string, ...args: string[]): Promise<{ code: number; said: string[] }> {
  const said: string[] = [];
  const say = (text: string) => void said.push(text);
  const output = { say, errors: { push: say } } as unknown as Output;
  const { signal } = new AbortController();
  const code = await runPlan([`-subnet-file=${folder}/subnet.env`, ...args], { output, signal });
  return { code, said };
}

for (const text of ["", '{"args":[', "[]", '{"args":[5]}']) {
  Deno.test(`there is no plan by defaults where the noted flags are ${JSON.stringify(text)}`, async () => {
    await withFolder(async (folder) => {
      await Deno.writeTextFile(notedFlagsPath(`${folder}/subnet.env`), text);
      for (const more of [[], ["-iface=eth0"], ["-etcd-password=p"]]) {
        const { message } = await assertRejects(() => planIn(folder, ...more), Error);
        assert(
          /^Cannot read the flags that the last agent has noted in \S+flags\.json: .*; give the agent's flags/
            .test(message),
          message,
        );
      }
      // With those that name a registry there is one, if it can be.
      const { message } = await assertRejects(
        () => planIn(folder, `-local-registry=${folder}/leases`),
        Error,
      );
      assert(message.includes("does not exist"), message);
    });
  });
}

/** More than it takes to be silent, and less than a plan may take, on a machine that does other things too. */
const SILENCE_MS = 6000;

Deno.test("a plan of an agent that stands still is given up as soon as any other question", async () => {
  await withFolder(async (folder) => {
    using _silent = Deno.listen({ transport: "unix", path: `${folder}/loden.sock` });
    const began = performance.now();
    await assertRejects(() => planIn(folder), AgentDoorError, "has not answered within 1.5 s");
    assert(performance.now() - began < SILENCE_MS, `${performance.now() - began} ms`);
  });
});

const libc = new Libc();

/** What others may put into a sentence that quotes them. */
const HOSTILE = "evil\n2026 READY\x1b[31mX";

Deno.test("what others write forges no line of a plan, in text and in JSON", async () => {
  const stage = { stage: "links and tables", changes: [], total: 0, notes: [`${HOSTILE}: no MAC`] };
  const plan: HostPlan = { source: "the agent", stages: [stage], notes: [HOSTILE] };
  await withFolder(async (folder) => {
    await using _server = HttpServer.serve(UnixListener.open(libc, `${folder}/loden.sock`), {
      libc,
      answer: () => Promise.resolve(new Response(JSON.stringify(plan))),
    });
    assertEquals((await planIn(folder)).said, [
      "links and tables",
      "  note: evil 2026 READY\\u001b[31mX: no MAC",
      "notes",
      "  evil 2026 READY\\u001b[31mX",
    ]);
    const { said: [json] } = await planIn(folder, "--json");
    assertEquals(JSON.parse(json!).notes, ["evil 2026 READY\\u001b[31mX"]);
  });
});
