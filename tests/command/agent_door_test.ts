import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { AgentDoor } from "../../src/agent/agent_door.ts";
import { AgentDoorError, askAgent } from "../../src/command/agent_door.ts";
import { Libc } from "../../src/linux/libc.ts";
import { UnixListener } from "../../src/linux/unix_listener.ts";
import type { StatusDeps } from "../../src/status/facts.ts";
import { doorPath } from "../../src/status/door_path.ts";
import { until } from "../double/overlay_rig.ts";
import { READY } from "../status/facts.ts";

const libc = new Libc();

/** A folder with a subnet file's name in it, and doors of agents that say they have it. */
class Rig implements AsyncDisposable {
  readonly subnetFilePath: string;
  readonly path: string;
  readonly #abort = new AbortController();
  readonly #stack = new AsyncDisposableStack();

  private constructor(readonly folder: string) {
    this.subnetFilePath = `${folder}/subnet.env`;
    this.path = doorPath(this.subnetFilePath);
  }

  static async make(): Promise<Rig> {
    return new Rig(await Deno.makeTempDir({ prefix: "loden-door-" }));
  }

  open(current: () => StatusDeps = () => READY, isOurs = () => true): AgentDoor {
    const { subnetFilePath } = this;
    const door = this.#stack.use(new AgentDoor({ libc, subnetFilePath, isOurs, current }));
    const running = door.run(this.#abort);
    this.#stack.defer(() => running);
    return door;
  }

  ask(target = "/status", timeoutMs = 2000): Promise<unknown> {
    return askAgent(this.subnetFilePath, target, { timeoutMs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.#stack.disposeAsync();
    await Deno.remove(this.folder, { recursive: true });
  }
}

Deno.test("an agent's door tells the host's status, and root alone can open it", async () => {
  await using rig = await Rig.make();
  rig.open();
  const status = await until("be answered", () => rig.ask()) as { ready: boolean };
  assertEquals(status.ready, true);
  const { mode, isSocket } = await Deno.lstat(rig.path);
  assertEquals([isSocket, mode! & 0o777], [true, 0o600]);
});

Deno.test("a user who is not root is refused, also where the socket's rights would let it in", async () => {
  await using rig = await Rig.make();
  rig.open();
  await until("be answered", () => rig.ask());
  await Deno.chmod(rig.folder, 0o755);
  await Deno.chmod(rig.path, 0o777);
  const script =
    `$SIG{PIPE} = "IGNORE"; socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, pack_sockaddr_un($ARGV[0])) or die "no way\\n";
    send(S, "GET /status HTTP/1.1\\r\\n\\r\\n", 0); print 0 + (sysread(S, $_, 99) || 0), " bytes"`;
  const ask = async (uid: number) => {
    const args = ["-MSocket", "-e", script, rig.path];
    const { stdout, stderr } = await new Deno.Command("/usr/bin/perl", { args, uid }).output();
    return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  };
  assertEquals(await ask(0), "99 bytes");
  assertEquals(await ask(65534), "0 bytes");
});

Deno.test("where no agent is there is no answer, whether its socket was left behind or never was", async () => {
  await using rig = await Rig.make();
  assertEquals(await rig.ask(), undefined);
  UnixListener.open(libc, rig.path)[Symbol.dispose]();
  assertEquals((await Deno.lstat(rig.path)).isSocket, true);
  assertEquals(await rig.ask(), undefined);
});

Deno.test("an agent takes the place of a socket that was left behind, and of one that is removed", async () => {
  await using rig = await Rig.make();
  UnixListener.open(libc, rig.path)[Symbol.dispose]();
  rig.open();
  await until("be answered", () => rig.ask());
  await Deno.remove(rig.path);
  await until("be answered again", () => rig.ask());
});

Deno.test("a file in the socket's place stays, and is told until it is gone", async () => {
  await using rig = await Rig.make();
  await Deno.writeTextFile(rig.path, "mine");
  const door = rig.open();
  await until("be told", () => Promise.resolve(door.conditions[0]));
  assertEquals(door.conditions.map(({ code, sentence }) => [code, sentence]), [[
    "door-closed",
    `commands as "loden status" can't ask this agent at ${rig.path}: another file is there; remove it`,
  ]]);
  assertEquals(await Deno.readTextFile(rig.path), "mine");
  await Deno.remove(rig.path);
  await until("be answered", () => rig.ask());
  assertEquals(door.conditions, []);
});

Deno.test("a path that is too long for a socket is told", async () => {
  await using rig = await Rig.make();
  const subnetFilePath = `${rig.folder}/${"x".repeat(100)}/subnet.env`;
  await Deno.mkdir(`${rig.folder}/${"x".repeat(100)}`);
  await using door = new AgentDoor({ libc, subnetFilePath, isOurs: () => true, current: () => READY });
  const abort = new AbortController();
  const running = door.run(abort);
  await until("be told", () => Promise.resolve(door.conditions[0]));
  assertMatch(door.conditions[0]!.sentence, /has at most 107 bytes/);
  abort.abort();
  await running;
});

Deno.test("an agent that does not have the subnet file opens no door beside it", async () => {
  await using rig = await Rig.make();
  let isOurs = false;
  rig.open(() => READY, () => isOurs);
  assertEquals(await rig.ask(), undefined);
  isOurs = true;
  await until("be answered", () => rig.ask());
});

Deno.test("an agent that does not answer is told as such in time", async () => {
  await using rig = await Rig.make();
  using _silent = Deno.listen({ transport: "unix", path: rig.path });
  await assertRejects(() => rig.ask("/status", 50), AgentDoorError, "has not answered within 0.05 s");
});

const answers: [answer: string, message: string][] = [
  ["HTTP/1.1 200 OK\r\n\r\n<html>", "it is not JSON"],
  ["", "it is not JSON"],
  ['HTTP/1.1 409 Conflict\r\n\r\n{"error":"no probes are made"}', "no probes are made"],
  ["HTTP/1.1 500 No\r\n\r\n{}", "answers 500"],
];

for (const [answer, message] of answers) {
  Deno.test(`askAgent() makes one sentence of ${JSON.stringify(answer.slice(0, 20))}`, async () => {
    await using rig = await Rig.make();
    using listener = Deno.listen({ transport: "unix", path: rig.path });
    const served = listener.accept().then(async (conn) => {
      await conn.read(new Uint8Array(1024));
      await conn.write(new TextEncoder().encode(answer));
      conn.close();
    });
    await assertRejects(() => rig.ask(), AgentDoorError, message);
    await served;
  });
}

Deno.test("an agent's door does not know what is none of its routes", async () => {
  await using rig = await Rig.make();
  rig.open();
  await until("be answered", () => rig.ask());
  for (const target of ["/nonsense", "/__proto__", "/"]) {
    await assertRejects(() => rig.ask(target), AgentDoorError, `this agent does not know ${target}`);
  }
});
