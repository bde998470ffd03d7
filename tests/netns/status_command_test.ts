import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { CommandResult } from "../../src/lab/command.ts";
import type { LabHost } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { seedLeases } from "../double/overlay_registry.ts";
import {
  agentCommand,
  hostsOf,
  registryName,
  until,
  untilReady,
  withOverlay,
} from "../double/overlay_rig.ts";
import { lease } from "../registry/local/local_world.ts";

/** What starts `loden status`: as the agent is started. */
const STATUS = [...agentCommand.slice(0, -1), "status"];
/** An agent that does not answer is given 1.5 s; the rest is the start of a program, on a machine that does other things too. */
const SILENCE_MS = 6000;
const LINE_MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ /;

/** Runs `loden status` on a host. */
async function status(host: LabHost, ...flags: string[]): Promise<CommandResult> {
  const [program, ...words] = [...STATUS, `--subnet-file=${host.subnetFilePath}`, ...flags];
  return await host.netns.exec(program!, ...words);
}

/** The lines of what a host's status prints, once it ends with `code`. */
async function statusOf(host: LabHost, code: number, ...flags: string[]): Promise<string> {
  const { stdout, stderr, ...ended } = await status(host, ...flags);
  assertEquals([ended.code, stderr], [code, ""], stdout);
  return stdout;
}

async function twoHosts(run: (lab: Lab, libc: Libc, hosts: readonly [LabHost, LabHost]) => Promise<void>) {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    const [h1, h2] = hostsOf(lab);
    for (const host of [h1, h2]) await untilReady(libc, host);
    await run(lab, libc, [h1, h2]);
  });
}

Deno.test("loden status tells a host that is ready on one screen, its peers, and JSON", async () => {
  await twoHosts(async (lab, _, [h1, h2]) => {
    const text = await until("see the peer", async () => {
      const text = await statusOf(h1, 0);
      return text.includes("1/1 well") ? text : undefined;
    });
    const lines = text.trimEnd().split("\n");
    assertMatch(lines[0]!, LINE_MOMENT);
    assertMatch(lines[0]!, /Z ready/);
    assert(lines.length <= 24, text);
    for (const name of ["host", "subnet", "backend", "underlay", "registry", "pass", "peers"]) {
      assert(lines.some((line) => line.startsWith(`  ${name}`)), `${name} in ${text}`);
    }
    assertStringIncludes(text, "followed, heard");

    const peer = (await statusOf(h1, 0, "--peers")).split("\n").find((line) =>
      line.startsWith(registryName(h2))
    );
    assertMatch(peer!, /^\S+ +10\.\d+\.\d+\.0\/24 +192\.0\.2\.2 +(vxlan|direct) .*well$/);

    const json = JSON.parse(await statusOf(h1, 0, "--json", "--peers"));
    assertEquals([json.ready, json.silence, json.local], [true, null, undefined]);
    assertEquals([json.agent.ready, json.agent.process.id], [true, h1.agent!.pid]);
    assertEquals(json.peers.peers.map(({ host }: { host: string }) => host), [registryName(h2)]);

    await seedLeases(lab, [{
      ...lease("192.0.2.77", "10.244.77.0/24", "192.0.2.77"),
      backendType: "host-gw",
    }]);
    const left = await until("hear of the other backend", async () => {
      const text = await statusOf(h1, 0, "--peers");
      return text.includes("1 other backend") ? text : undefined;
    });
    assertMatch(left, /1\/2 well(, 1 probed)?; 1 other backend/);
    assertMatch(
      left,
      /STATE\n192\.0\.2\.77 .* other backend: its backend is host-gw, and this host's vxlan\n/,
    );
  });
});

Deno.test("loden status tells of a peer to which the kernel takes another way, and of what probes find", async () => {
  await twoHosts(async (_, __, [h1, h2]) => {
    const name = registryName(h2);
    const lineOf = async () => {
      const { stdout } = await status(h1, "--peers");
      return stdout.split("\n").find((line) => line.startsWith(`${name} `)) ?? stdout;
    };
    await until("see a round trip", async () => / \d+(\.\d)? ms/.test(await lineOf()) ? true : undefined);
    await h1.netns.mustExec("ip", "rule", "add", "priority", "100", "to", "10.244.0.0/16", "blackhole");
    const line = await until("hear of the rule", async () => {
      const line = await lineOf();
      return line.includes("misled: ") ? line : undefined;
    });
    assertMatch(line, /misled: .*100/);
    assertEquals((await status(h1)).code, 1);
    await h1.netns.mustExec("ip", "rule", "delete", "priority", "100");
    await until("see the peer well", async () => (await lineOf()).endsWith(" well") ? true : undefined);
  });
});

Deno.test("loden status speaks from the kernel when the agent stands still, was killed, or has ended", async () => {
  await twoHosts(async (_, libc, [h1]) => {
    h1.agent!.signal("SIGSTOP");
    const began = performance.now();
    const halted = await statusOf(h1, 3);
    assert(performance.now() - began < SILENCE_MS, `${performance.now() - began} ms`);
    assertMatch(
      halted,
      /^\S+ NO ANSWER: the agent at \S+ has not answered within 1\.5 s: it is halted, or very busy\n/,
    );
    assertMatch(halted, /data path +stands: 1 route over flannel\.1\n/);
    h1.agent!.signal("SIGCONT");
    await untilReady(libc, h1);

    await h1.stopAgent("SIGKILL");
    const killed = await statusOf(h1, 3);
    assertMatch(
      killed,
      /^\S+ NO AGENT runs on this host: the last one was killed; until then, since \S+ \(\d+ s ago\), it was ready\n/,
    );
    assertMatch(killed, /data path +stands: 1 route over flannel\.1\n/);
    assertMatch(
      killed,
      /link +flannel\.1 up, VNI 1, port 8472, MTU 1450, from \S+; 1 neighbour, 1 FDB entry\n/,
    );
    const { ready, agent, local } = JSON.parse(await statusOf(h1, 3, "--json"));
    assertEquals([ready, agent, local.faults], [null, null, []]);
    assertEquals(
      local.kernel.vteps.map(({ link, routes }: { link: string; routes: number }) => [link, routes]),
      [
        ["flannel.1", 1],
      ],
    );

    h1.startAgent();
    await untilReady(libc, h1);
    await h1.stopAgent("SIGTERM");
    assertMatch(
      await statusOf(h1, 3),
      /^\S+ NO AGENT runs on this host since \S+ \(\d+ s ago\): the agent was ended\n/,
    );
  });
});

const damages: [why: string, command: [string, ...string[]], wrong: RegExp][] = [
  [
    "a neighbour is gone",
    ["ip", "neighbour", "flush", "nud", "permanent", "dev", "flannel.1"],
    /no neighbour on flannel\.1 for the next hop of 10\.\d+\.\d+\.0\/24: packets there are dropped/,
  ],
  [
    "a route is gone",
    ["ip", "route", "flush", "dev", "flannel.1", "proto", "76"],
    /no route over flannel\.1 by the neighbour 10\.\d+\.\d+\.0: packets for its host's pods go elsewhere/,
  ],
  [
    "the VTEP is down",
    ["ip", "link", "set", "flannel.1", "down"],
    /flannel\.1 is down, so that its routes are gone/,
  ],
  [
    "the underlay is down",
    ["ip", "link", "set", "eth0", "down"],
    /eth0, which flannel\.1 sends by, is down/,
  ],
  [
    "the VTEP is gone",
    ["ip", "link", "delete", "flannel.1"],
    /there is no VTEP, though the subnet file says vxlan/,
  ],
];

for (const [why, [program, ...words], wrong] of damages) {
  Deno.test(`loden status without an agent says that ${why}`, async () => {
    await twoHosts(async (_, __, [h1]) => {
      await h1.stopAgent("SIGKILL");
      const { code, stderr } = await h1.netns.exec(program, ...words);
      assertEquals([code, stderr], [0, ""]);
      const text = await statusOf(h1, 3);
      assertMatch(text, wrong);
      assertMatch(text, /DAMAGED|nothing leads to another host/);
    });
  });
}

Deno.test("loden status --wait ends when the host is ready, and with 1 when it is not in time", async () => {
  await twoHosts(async (_, __, [h1]) => {
    await h1.stopAgent("SIGTERM");
    assertMatch(await statusOf(h1, 1, "--wait=600ms"), /NO AGENT runs/);
    const waiting = status(h1, "--wait=60s");
    h1.startAgent();
    const { code, stdout } = await waiting;
    assertEquals(code, 0, stdout);
    assertMatch(stdout, /^\S+Z ready/);
  });
});

Deno.test("loden status refuses words that it does not know with 2, and tells its help", async () => {
  await twoHosts(async (_, __, [h1]) => {
    const { code, stderr } = await status(h1, "now");
    assertEquals([code, stderr], [
      2,
      `loden: Cannot read "now": status takes flags alone; see 'loden status --help'\n`,
    ]);
    assertEquals((await status(h1, "--wait=soon")).code, 2);
    assertMatch(await statusOf(h1, 0, "--help"), /^Usage: loden status \[FLAGS\]\n/);
  });
});
