import { assertEquals, assertMatch } from "@std/assert";
import { AgentDoor } from "../../../src/agent/agent_door.ts";
import { lookAtHost } from "../../../src/command/status/look.ts";
import { jsonOf, linesOf } from "../../../src/command/status/look_text.ts";
import { Libc } from "../../../src/linux/libc.ts";
import { HttpServer } from "../../../src/status/http_server.ts";
import { UnixListener } from "../../../src/linux/unix_listener.ts";
import { parsePrefix } from "../../../src/model/address.ts";
import { until } from "../../double/overlay_rig.ts";
import { READY } from "../../status/facts.ts";
import { lookOf } from "./looks.ts";

const libc = new Libc();

/** Runs `test` with the path of a subnet file, at whose door `answer` answers. */
async function withDoor(
  answer: (path: string) => Response,
  test: (subnetFilePath: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "loden-look-" });
  const server = HttpServer.serve(UnixListener.open(libc, `${folder}/loden.sock`), {
    libc,
    answer: (request) => Promise.resolve(answer(new URL(request.url).pathname)),
  });
  try {
    await test(`${folder}/subnet.env`);
  } finally {
    await server[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
}

const json = (value: unknown, status = 200) => new Response(JSON.stringify(value), { status });

Deno.test("lookAtHost() tells of the host although the agent knows nothing of peers, as an earlier one", async () => {
  const answer = (path: string) =>
    path === "/status" ? json({ ready: true }) : json({ error: "this agent does not know /peers" }, 404);
  await withDoor(answer, async (subnetFilePath) => {
    const look = await lookAtHost({ subnetFilePath, peers: "all" }, libc);
    assertEquals([look.agent?.status.ready, look.peersFault], [true, "this agent does not know /peers"]);
    assertEquals(linesOf(look).at(-1), "peers: this agent does not know /peers");
    assertEquals(JSON.parse(jsonOf(look)).peersFault, "this agent does not know /peers");
  });
});

Deno.test("lookAtHost() says that an answer can't be read, and looks by itself", async () => {
  await withDoor(() => json({ is: "none of an agent's" }), async (subnetFilePath) => {
    const look = await lookAtHost({ subnetFilePath, peers: "none" }, libc);
    assertMatch(look.silence!, /what the agent says can't be read/);
    assertEquals([look.agent, look.local === undefined], [undefined, false]);
  });
});

Deno.test("lookAtHost() gets all peers of an agent, page by page", async () => {
  const folder = await Deno.makeTempDir({ prefix: "loden-look-" });
  const subnetFilePath = `${folder}/subnet.env`;
  const leases = Array.from(
    { length: 1234 },
    (_, at) => ({ host: `node-${at}`, backendType: "vxlan", parts: [] }),
  );
  const overlay = {
    backend: "vxlan",
    carriage: "tunnel",
    leaseType: "vxlan",
    mtuBytes: 1450,
    leases,
  } as const;
  const abort = new AbortController();
  const current = () => ({ ...READY, overlay: () => overlay });
  const door = new AgentDoor({ libc, subnetFilePath, isOurs: () => true, current });
  const running = door.run(abort);
  try {
    const look = await until("be answered", async () => {
      const look = await lookAtHost({ subnetFilePath, peers: "all" }, libc);
      return look.agent === undefined ? undefined : look;
    });
    const hosts = look.peers!.peers.map(({ host }) => host);
    assertEquals([hosts.length, new Set(hosts).size], [1234, 1234]);
    assertEquals(hosts.slice(0, 3), ["node-0", "node-1", "node-2"]);
    const some = await lookAtHost({ subnetFilePath, peers: "some" }, libc);
    assertEquals(some.peers!.peers.length, 40);
  } finally {
    abort.abort();
    await running;
    await door[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a host whose subnet file flanneld has written is told as such", () => {
  const look = lookOf(undefined);
  const env = {
    networks: [parsePrefix("10.244.0.0/16")],
    subnets: [parsePrefix("10.244.1.0/24")],
    mtuBytes: 1450,
    isAgentMasquerading: true,
    backendType: undefined,
    delegateType: undefined,
  };
  const said = { reasons: [{ code: "agent-ended", sentence: "the agent was ended" }], at: new Date(0) };
  const [first, second] = linesOf({ ...look, local: { ...look.local!, env, said } });
  assertMatch(first!, / NO AGENT of Loden runs on this host: the subnet file is flanneld's/);
  assertMatch(second!, /subnet +10\.244\.1\.0\/24, flanneld's/);
});

Deno.test("what was left beside the subnet file is shown as it is read, also in JSON", () => {
  const look = lookOf(undefined);
  const said = { reasons: [{ sentence: "no\u202egood\u001b[2J" }], at: new Date(0) };
  const odd = { ...look, local: { ...look.local!, said } };
  for (const text of [linesOf(odd).join(""), jsonOf(odd)]) {
    for (const sign of ["\u202e", "\u001b"]) assertEquals(text.includes(sign), false, text);
  }
});
