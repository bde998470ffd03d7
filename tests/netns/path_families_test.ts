import { assertEquals, assertGreater, assertLess, assertMatch } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import { processCost } from "../bench/machine.ts";
import { atDoor, conditionsAt, pathsOf } from "../double/agent_door.ts";
import { registryName, until, withOverlay } from "../double/overlay_rig.ts";

type Two = readonly [LabHost, LabHost];

/** Waits until a host has paths of these states, by family. */
async function untilStates(host: LabHost, states: readonly string[]): Promise<readonly string[]> {
  let seen: readonly string[] = [];
  return await until(`see ${host.name} with ${states}`, async () => {
    seen = (await pathsOf(host)).map(({ family, state }) => `${family} ${state}`).sort();
    return seen.join() === states.join() ? seen : undefined;
  }, () => seen.join());
}

const backends: [name: string, Backend: Record<string, unknown>][] = [
  ["VXLAN", { Type: "vxlan" }],
  ["VXLAN with direct routes", { Type: "vxlan", DirectRouting: true }],
  ["host-gw", { Type: "host-gw" }],
];

for (const [name, Backend] of backends) {
  Deno.test(`both families are probed over ${name}, and a path that is bad in one is told of that one`, async () => {
    const networkConfig = {
      Network: "10.244.0.0/16",
      EnableIPv6: true,
      IPv6Network: "fd00:10:244::/56",
      Backend,
    };
    await withOverlay({ hosts: 2, families: [AF_INET, AF_INET6], networkConfig }, async (lab) => {
      const [h1, h2] = lab.hosts as readonly LabHost[] as Two;
      for (const host of lab.hosts) await untilStates(host, ["IPv4 good", "IPv6 good"]);
      const rule = ["INPUT", "-p", "udp", "-j", "DROP"];
      await h2.netns.mustExec("ip6tables", "-I", ...rule);
      // What h2 asks comes, and is a sign of life.
      await untilStates(h1, ["IPv4 good", "IPv6 broken"]);
      assertMatch((await conditionsAt(h1)).get("path-broken") ?? "", / in IPv6 \(/);
      await h2.netns.mustExec("ip6tables", "-D", ...rule);
      await untilStates(h1, ["IPv4 good", "IPv6 good"]);
    });
  });
}

Deno.test("a host that moves in the underlay is probed at its new address", async () => {
  await withOverlay({ hosts: 2, agentFlags: ["-iface=eth0"] }, async (lab: Lab) => {
    const [h1, h2] = lab.hosts as readonly LabHost[] as Two;
    for (const host of lab.hosts) await untilStates(host, ["IPv4 good"]);
    await h2.netns.mustExec("ip", "address", "delete", `${registryName(h2)}/24`, "dev", "eth0");
    await h2.netns.mustExec("ip", "address", "add", "192.0.2.77/24", "dev", "eth0");
    await until("see both good at the new place", async () => {
      const told = await atDoor(h1, `/ask?host=${registryName(h2)}`) as {
        readonly answers: readonly { readonly target: string; readonly roundTripMs?: number }[];
      };
      const moved = told.answers.find(({ target }) => target === "192.0.2.77");
      return moved?.roundTripMs === undefined ? undefined : true;
    });
    for (const host of lab.hosts) await untilStates(host, ["IPv4 good"]);
  });
});

Deno.test("a port that another program has is told of, and opened once it is free", async () => {
  await withOverlay({ hosts: 1 }, async (lab) => {
    const [host] = lab.hosts as readonly LabHost[] as readonly [LabHost];
    const taken = new Deno.Command("ip", {
      args: ["netns", "exec", host.netns.name, Deno.execPath(), "eval", "--unstable-net", TAKE],
      stdout: "piped",
      stderr: "null",
    });
    await host.stopAgent();
    const child = taken.spawn();
    try {
      // It says so with one byte.
      const said = child.stdout.getReader({ mode: "byob" });
      await said.read(new Uint8Array(1));
      said.releaseLock();
      host.startAgent();
      await until("hear that the port is taken", async () => {
        const sentence = (await conditionsAt(host)).get("path-port-taken");
        return sentence?.includes(`as deno (process ${child.pid}) has it`) || undefined;
      });
      assertEquals((await atDoor(host, "/paths") as { readonly port?: number }).port, undefined);
    } finally {
      child.kill("SIGKILL");
      await child.stdout.cancel();
      await child.status;
    }
    // That is not what the agent waits for: it tries after 30 s at the latest.
    await until("see the port opened once it is free", async () => {
      return (await atDoor(host, "/paths") as { readonly port?: number }).port === 8475 || undefined;
    });
  });
});

/** Takes the port, says so, and stays. */
const TAKE = `Deno.listenDatagram({ transport: "udp", hostname: "0.0.0.0", port: 8475 });` +
  `Deno.stdout.writeSync(new Uint8Array(1)); await new Promise((end) => setTimeout(end, 60_000));`;

Deno.test("a flood of datagrams at the port takes a bounded share of a core, and paths stay good", async () => {
  await withOverlay({ hosts: 3 }, async (lab) => {
    const [h1, h2] = lab.hosts as readonly LabHost[] as Two;
    for (const host of lab.hosts) await untilStates(host, ["IPv4 good", "IPv4 good"]);
    const before = await processCost(h1.agent!.pid);
    const startMs = performance.now();
    const args = [
      "netns",
      "exec",
      h2.netns.name,
      Deno.execPath(),
      "eval",
      "--unstable-net",
      flood(registryName(h1)),
    ];
    const { code, stdout } = await new Deno.Command("ip", { args, stdout: "piped", stderr: "null" }).output();
    const tookMs = performance.now() - startMs;
    assertEquals(code, 0);
    assertGreater(Number(new TextDecoder().decode(stdout)), 5000, "it is a flood");
    const after = await processCost(h1.agent!.pid);
    const busyMs = after.userMs + after.systemMs - before.userMs - before.systemMs;
    assertLess(busyMs / tookMs, 0.5);
    const { totals } = await atDoor(h1, "/paths") as { readonly totals: { readonly refused: number } };
    assertGreater(totals.refused, 100);
    await untilStates(h1, ["IPv4 good", "IPv4 good"]);
    for (const host of lab.hosts) {
      assertEquals([...(await conditionsAt(host)).keys()].filter((code) => code.startsWith("path-")), []);
    }
    assertEquals((await conditionsAt(h1)).has("overlay-cut-off"), false);
  });
});

/** Sends for some seconds as fast as it can, and says how many. */
function flood(hostname: string): string {
  return `const socket = Deno.listenDatagram({ transport: "udp", hostname: "0.0.0.0", port: 0 });` +
    `let count = 0; for (const endMs = performance.now() + 3000; performance.now() < endMs; count++) ` +
    `await socket.send(new Uint8Array(300), { transport: "udp", hostname: "${hostname}", port: 8475 });` +
    `console.log(count);`;
}
