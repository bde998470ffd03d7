import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { agentLockPath, holdAgentLock } from "../../src/pods/agent_lock.ts";
import { agentStatePath, readAgentState } from "../../src/pods/agent_state.ts";
import { AgentProcess } from "../../src/lab/agent_process.ts";
import type { ConditionCode } from "../../src/model/condition.ts";
import type { LabHost } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { queryLink } from "../../src/rtnetlink/link.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { AS_NOBODY, NamedProcess, SOCKETS } from "../double/named_process.ts";
import { httpGet } from "../double/overlay_http.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";
import {
  agentCommand,
  hostsOf,
  until,
  untilReady,
  untilSettled,
  withOverlay,
} from "../double/overlay_rig.ts";
import { KernelView } from "../double/overlay_state.ts";

/** Where the second agent of a host answers. */
const SECOND = "127.0.0.1:8082";
/** What the second agent may take to notice that the first is gone. */
const TAKEOVER_MS = 1500;
const NOBODY = 65534;

/** Another agent on a lab's host. */
class SecondAgent implements AsyncDisposable {
  readonly #process: AgentProcess;

  private constructor(
    readonly host: LabHost,
    readonly libc: Libc,
    readonly logPath: string,
    process: AgentProcess,
  ) {
    this.#process = process;
  }

  /** @param flags Behind those that the first agent has too. */
  static start(
    libc: Libc,
    lab: Lab,
    host: LabHost,
    { config = lab.networkConfigPath, flags = [], name = "second" }: {
      config?: string;
      flags?: readonly string[];
      name?: string;
    } = {},
  ): SecondAgent {
    const logPath = `${host.directory}/${name}.log`;
    const process = AgentProcess.start({
      netns: host.netns.name,
      logPath,
      environment: {},
      command: [
        ...agentCommand,
        `-local-registry=${lab.registryPath}`,
        `-net-config-path=${config}`,
        `-subnet-file=${host.subnetFilePath}`,
        `-lease-cache=${host.directory}/leases.json`,
        `-machine-id-file=${host.machineIdPath}`,
        "-iface=eth0",
        "-healthz-ip=127.0.0.1",
        `-healthz-port=${SECOND.split(":")[1]}`,
        "-unmanaged-files=false",
        "-iptables-forward-rules=false",
        "-log-format=json",
        ...flags,
      ],
    });
    return new SecondAgent(host, libc, logPath, process);
  }

  get hasEnded(): boolean {
    return this.#process.end !== undefined;
  }

  async readyz(at = SECOND): Promise<string> {
    const answer = await httpGet(this.libc, this.host.netns, "/readyz", at);
    return answer === undefined ? "nobody listens" : `${answer.status} ${answer.body}`;
  }

  /** Waits until it says `part`. */
  async untilSays(part: string, at = SECOND): Promise<string> {
    let answer = "";
    await until(`hear "${part}"`, async () => {
      answer = await this.readyz(at);
      return answer.includes(part) ? true : undefined;
    }, () => `${answer}\n${this.text()}`);
    return answer;
  }

  text(): string {
    try {
      return Deno.readTextFileSync(this.logPath);
    } catch {
      return "";
    }
  }

  /** The lines that say that a condition was set. */
  conditions(code: ConditionCode): Record<string, unknown>[] {
    return this.lines("condition set").filter((line) => line.code === code);
  }

  /** The lines of an event that it has logged. */
  lines(event: string): Record<string, unknown>[] {
    return this.text().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line))
      .filter((line) => line.event === event);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stop();
  }
}

/** Writes another network configuration into the folder of a host. */
async function configOf(host: LabHost, name: string, config: Record<string, unknown>): Promise<string> {
  const path = `${host.directory}/${name}`;
  await Deno.writeTextFile(path, JSON.stringify(config));
  return path;
}

/** Waits until the agent of a subnet file says there that pods can be started. */
async function untilItSaysNothing(host: LabHost): Promise<void> {
  await until("read that pods can be started", () => {
    return readAgentState(agentStatePath(host.subnetFilePath))?.reasons.length === 0 ? true : undefined;
  });
}

/** Waits until the packet filter has rules for a network. */
async function untilRules(host: LabHost, network: string): Promise<void> {
  let text = "";
  await until(`see rules for ${network}`, async () => {
    text = await host.netns.mustExec("nft", "list", "ruleset");
    return text.includes(network) || undefined;
  }, () => text);
}

const ways: readonly { readonly signal: Deno.Signal; readonly what: string; readonly isShared: boolean }[] = [
  { signal: "SIGTERM", what: "with one subnet file", isShared: true },
  { signal: "SIGKILL", what: "each with a /run of its own", isShared: false },
];

for (const { signal, what, isShared } of ways) {
  Deno.test(`of two agents of one network ${what} the second waits, and takes over after ${signal}`, async () => {
    await withOverlay({ hosts: 2 }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1, h2] = hostsOf(lab);
      await untilItSaysNothing(h1);
      const view = new KernelView(h1.client);
      const before = view.lines();
      const config = await configOf(h1, "second.json", {
        Network: "10.244.0.0/16",
        Backend: { Type: "vxlan", MTU: 1400 },
      });
      const flags = isShared ? [] : [`-subnet-file=${h1.directory}/other/subnet.env`];
      await using second = SecondAgent.start(libc, lab, h1, { config, flags });
      const answer = await second.untilSays("another agent of network 10.244.0.0/16 runs on this host");
      assertStringIncludes(answer, `503 flanneld is not ready yet\n`);
      assertStringIncludes(answer, "run one of the two only");
      assertStringIncludes(answer, `(process `);

      await using ping = await RunningPing.start(h2, h1, 0);
      await ping.untilMore(40);
      assertEquals(view.lines(), before, "it touches nothing");
      await until("see it told", () => second.conditions("other-agent")[0]);
      assertEquals(second.conditions("other-agent").length, 1, "it says so once");
      assertEquals(second.lines("link changed"), []);
      const state = readAgentState(agentStatePath(h1.subnetFilePath));
      assertEquals(state?.reasons, [], "what the first one says stays");
      await untilReady(libc, h1);

      const { durationMs } = await h1.stopAgent(signal);
      const endedAtMs = Date.now();
      assert(durationMs < 5000);
      await second.untilSays("200 flanneld is ready");
      // The log may be a little behind.
      const started = await until("see it told", () => second.lines("agent started")[0]);
      const gone = Date.parse(String(started.time));
      assert(gone - endedAtMs < TAKEOVER_MS, `it took ${gone - endedAtMs} ms`);
      assertEquals(queryLink(h1.client, "flannel.1")?.mtuBytes, 1350, "it is what the second one asks for");
      await ping.untilMore(20);
      await assertNoneLost([ping]);
    });
  });
}

Deno.test("an agent that is stopped for a while keeps its place, and goes on with it", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    const view = new KernelView(h1.client);
    const before = view.lines();
    await using ping = await RunningPing.start(h2, h1, 0);
    h1.agent!.signal("SIGSTOP");
    try {
      const flags = [`-subnet-file=${h1.directory}/other/subnet.env`];
      await using second = SecondAgent.start(libc, lab, h1, { flags });
      await second.untilSays("another agent of network 10.244.0.0/16 runs on this host");
      await ping.untilMore(40);
      assertEquals(view.lines(), before);
      assertEquals(second.lines("agent started"), []);
    } finally {
      h1.agent!.signal("SIGCONT");
    }
    await untilReady(libc, h1);
    assertEquals(view.lines(), before);
    await assertNoneLost([ping]);
  });
});

Deno.test("a second agent with the very flags of the first waits for the port of the first too", async () => {
  await withOverlay({ hosts: 1 }, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    await untilReady(libc, h1);
    await using second = SecondAgent.start(libc, lab, h1, { flags: ["-healthz-port=8081"] });
    await until("see that it waits", () => second.conditions("other-agent")[0], () => second.text());
    const taken = String(second.conditions("health-port-taken")[0]?.reason);
    assertMatch(
      taken,
      /^Cannot serve health on 127\.0\.0\.1:8081: address in use by \w+ \(process \d+\); end it, or choose another port with -healthz-port$/,
    );
    assertStringIncludes(taken, `(process ${h1.agent!.pid})`);
    assertEquals(second.hasEnded, false);
    await h1.stopAgent();
    await second.untilSays("200 flanneld is ready", "127.0.0.1:8081");
    await untilItSaysNothing(h1);
  });
});

Deno.test("a port that another program has keeps nobody from the overlay, and is named", async () => {
  await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    // Nobody has the address of the port yet.
    const agent = h1.startAgent(["-healthz-ip=192.0.2.77"]);
    await h1.waitForSubnets();
    assertEquals(agent.end, undefined);
    await h1.netns.mustExec("ip", "address", "add", "192.0.2.77/24", "dev", "eth0");
    await until("see it served", async () => {
      return (await httpGet(libc, h1.netns, "/readyz", "192.0.2.77:8081"))?.status === 200 ? true : undefined;
    });
  });
});

Deno.test("an agent that holds a lock only, as earlier versions do, is waited for", async () => {
  await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    const lock = holdAgentLock(h1.subnetFilePath);
    await using second = SecondAgent.start(libc, lab, h1);
    const answer = await second.untilSays("another agent with the subnet file");
    assertStringIncludes(answer, `it holds ${agentLockPath(h1.subnetFilePath)}`);
    assertEquals(queryLink(h1.client, "flannel.1"), undefined);
    assertEquals(
      readAgentState(agentStatePath(h1.subnetFilePath)),
      undefined,
      "it is the other's to say something",
    );
    lock?.[Symbol.dispose]();
    await second.untilSays("200 flanneld is ready");
  });
});

Deno.test("a second agent that can't even begin writes over nothing of the first", async () => {
  await withOverlay({ hosts: 1 }, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    await untilReady(libc, h1);
    const path = agentStatePath(h1.subnetFilePath);
    const before = await until("hear that pods can be started", () => {
      return readAgentState(path)?.reasons.length === 0 ? Deno.lstatSync(path).ino : undefined;
    });
    for (const flags of [["-net-config-path=/nothing"], ["-iface=nothing", "-public-ip=198.51.100.1"]]) {
      await using second = SecondAgent.start(libc, lab, h1, { flags });
      await until("see it ended, or wait", async () => {
        return second.hasEnded || (await second.readyz()).startsWith("503") ? true : undefined;
      });
    }
    assertEquals((await Deno.lstat(path)).ino, before);
    assertEquals(readAgentState(path)?.reasons, []);
  });
});

Deno.test("two networks with one VNI: the second waits for the link, and goes on with another VNI", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    await untilItSaysNothing(h1);
    const view = new KernelView(h1.client);
    const before = view.lines();
    const red = (backend: Record<string, unknown>) =>
      configOf(h1, "red.json", { Network: "10.99.0.0/16", Backend: { Type: "vxlan", ...backend } });
    const config = await red({});
    await using ping = await RunningPing.start(h2, h1, 0);
    await using second = SecondAgent.start(libc, lab, h1, {
      config,
      flags: [
        `-local-registry=${h1.directory}/red.db`,
        `-subnet-file=${h1.directory}/red.env`,
        `-lease-cache=${h1.directory}/red.json.cache`,
      ],
    });
    const answer = await second.untilSays("link flannel.1 belongs to the agent of another network");
    assertStringIncludes(answer, "503 ");
    assertStringIncludes(answer, "give one of the two networks another VNI in its net-conf.json");
    assertEquals(view.lines(), before);
    await until("read its state", () => {
      const [reason] = readAgentState(agentStatePath(`${h1.directory}/red.env`))?.reasons ?? [];
      return reason?.sentence.includes("link flannel.1") || undefined;
    });
    assertEquals(readAgentState(agentStatePath(h1.subnetFilePath))?.reasons, []);

    await red({ VNI: 2 });
    await second.untilSays("200 flanneld is ready");
    await untilReady(libc, h1);
    assert(queryLink(h1.client, "flannel.2") !== undefined);
    const files = (await Array.fromAsync(Deno.readDir(h1.directory))).map(({ name }) => name);
    for (const name of ["agent.lock", "agent.json", "boot.json", "subnet.env"]) {
      assert(
        files.includes(name) && files.includes(name === "subnet.env" ? "red.env" : `red.env.${name}`),
        name,
      );
    }
    await ping.untilMore(20);
    await assertNoneLost([ping]);
  });
});

Deno.test("a network that this agent had and another one has now is the other's: nothing of it is removed", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    await untilItSaysNothing(h1);
    await using ping = await RunningPing.start(h2, h1, 0);
    await h1.stopAgent();
    // Another agent takes the network over, with its rules, links and routes.
    const blue = [`-subnet-file=${h1.directory}/blue/subnet.env`, "-ip-masq"];
    await using second = SecondAgent.start(libc, lab, h1, { flags: blue });
    await second.untilSays("200 flanneld is ready");
    await untilRules(h1, "10.244.0.0/16");
    const view = new KernelView(h1.client);
    const before = view.lines();
    // This one comes back with another network, and remembers that it had that one.
    const config = await configOf(h1, "red.json", {
      Network: "10.99.0.0/16",
      Backend: { Type: "vxlan", VNI: 2 },
    });
    const red = [`-local-registry=${h1.directory}/red.db`, "-healthz-port=8083", "-ip-masq"];
    await using first = SecondAgent.start(libc, lab, h1, { config, flags: red, name: "red" });
    await first.untilSays("200 flanneld is ready", "127.0.0.1:8083");
    await untilRules(h1, "10.99.0.0/16");
    await ping.untilMore(40);
    assertEquals(before.filter((line) => !view.lines().includes(line)), []);
    await untilRules(h1, "10.244.0.0/16");
    assertEquals(second.lines("link changed").length, 0, second.text());
    assertEquals(first.lines("former link deleted"), []);
    await assertNoneLost([ping]);
  });
});

Deno.test("a network that overlaps that of another agent is not applied beside it", async () => {
  await withOverlay({ hosts: 1 }, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    await untilReady(libc, h1);
    const config = await configOf(h1, "red.json", {
      Network: "10.244.128.0/17",
      Backend: { Type: "vxlan", VNI: 2 },
    });
    await using second = SecondAgent.start(libc, lab, h1, {
      config,
      flags: [`-local-registry=${h1.directory}/red.db`, `-subnet-file=${h1.directory}/red.env`],
    });
    await second.untilSays("Network 10.244.128.0/17 overlaps 10.244.0.0/16 of another agent on this host");
    assertEquals(queryLink(h1.client, "flannel.2"), undefined);
    await h1.stopAgent("SIGKILL");
    await second.untilSays("200 flanneld is ready");
  });
});

/** How another user has names of an agent's. */
const squats: readonly [socket: keyof typeof SOCKETS, name: string][] = [
  ["listening", "loden/network/10.244.0.0/16"],
  ["full", "loden/network/10.244.0.0/16"],
  ["bound", "loden/network/0.0.0.0/0"],
  ["bound", "loden/link/flannel.1"],
  ["datagram", "loden/network/0.0.0.0/0"],
];

for (const [socket, name] of squats) {
  Deno.test(`another user keeps no agent from the network by a ${socket} socket @${name}`, async () => {
    await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
      const [h1] = hostsOf(lab);
      const program = SOCKETS[socket];
      await using _user = await NamedProcess.start(h1.netns.name, { as: AS_NOBODY, program, name });
      await using second = SecondAgent.start(libc, lab, h1);
      await second.untilSays("200 flanneld is ready");
      // An agent has no datagrams: it is not even looked at.
      if (socket === "datagram") return;
      const said = await until("see it told", () => second.conditions("claim-doubtful")[0]);
      assertStringIncludes(String(said.reason), `user ${NOBODY} has the name @${name}`);
    });
  });
}
