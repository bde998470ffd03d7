import { assert, assertEquals } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { memberNode } from "../registry/kube/servers.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";
import { hostsOf, logSince, statusOf, until, untilReachable, untilReady } from "../double/overlay_rig.ts";
import { ETCD_PREFIX, pairsWithout, withEtcdOverlay, withKubeOverlay } from "../double/overlay_servers.ts";
import { flannelValue } from "../registry/etcd/etcd_world.ts";

const MINUTE_MS = 60_000;
const CROWD = 200;
const CROWD_MS = 5000;

/** Pings between all pods, while `during` happens; none may lose a packet. */
async function underTraffic(lab: Lab, during: () => Promise<void>): Promise<void> {
  const pings: RunningPing[] = [];
  try {
    for (const [from, to] of pairsWithout(lab)) pings.push(await RunningPing.start(from, to));
    await during();
    for (const ping of pings) await ping.untilMore(50);
    await assertNoneLost(pings);
  } finally {
    for (const ping of pings) await ping[Symbol.asyncDispose]();
  }
}

/** How many subnets the kernel of a host has routes to, over the overlay. */
async function routesOf(host: LabHost): Promise<number> {
  const { stdout } = await host.exec("ip", "route", "show", "dev", "flannel.1");
  return stdout.split("\n").filter((line) => line.includes("/24")).length;
}

/** Agents that have lived for a while end at once when they are asked to. */
async function assertEndsSoon(lab: Lab): Promise<void> {
  for (const host of lab.hosts) {
    const { status, durationMs } = await host.stopAgent("SIGTERM");
    assertEquals(status.code, 0, host.name);
    assert(durationMs < 3000, `the agent of ${host.name} ended ${durationMs} ms after SIGTERM`);
  }
}

async function untilRoutes(lab: Lab, count: number): Promise<void> {
  for (const host of lab.hosts) {
    let found = 0;
    await until(`see ${count} routes on ${host.name}`, async () => {
      found = await routesOf(host);
      return found === count || undefined;
    }, () => `${found} are there`);
  }
}

/** Has `join` called for 200 members within five seconds. */
async function crowdJoins(join: (number: number) => Promise<void>): Promise<void> {
  const startedMs = performance.now();
  for (let number = 0; number < CROWD; number += 10) {
    await Promise.all(Array.from({ length: 10 }, (_, at) => join(number + at)));
    // Not all in one moment.
    while (performance.now() - startedMs < number / CROWD * CROWD_MS * 0.8) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  const tookMs = performance.now() - startedMs;
  assert(tookMs < CROWD_MS * 2, `they took ${tookMs} ms to join`);
}

Deno.test("three hosts that agree in etcd: 200 more join, all leave, and no packet is lost", async () => {
  await withEtcdOverlay(async ({ lab, server }) => {
    await underTraffic(lab, async () => {
      const key = (number: number) => `${ETCD_PREFIX}/subnets/10.244.${number + 1}.0-24`;
      const taken = Object.keys(await server.list(`${ETCD_PREFIX}/subnets/`));
      const free = Array.from({ length: 254 }, (_, number) => number).filter((number) =>
        !taken.includes(key(number))
      );
      await crowdJoins((number) =>
        server.put(
          key(free[number]!),
          flannelValue(`198.51.100.${number + 1}`, `0e:00:00:00:01:${number.toString(16).padStart(2, "0")}`),
        )
      );
      await untilRoutes(lab, CROWD + 2);
      await Promise.all(free.slice(0, CROWD).map((number) => server.delete(key(number))));
      await untilRoutes(lab, 2);
    });
  });
});

Deno.test("three hosts that agree in an API server: 200 nodes join, all leave, and no packet is lost", async () => {
  await withKubeOverlay("real", async ({ lab, server }) => {
    await underTraffic(lab, async () => {
      const name = (number: number) => `joined-${number}`;
      await crowdJoins((number) => {
        const mac = `0e:00:00:00:01:${number.toString(16).padStart(2, "0")}`;
        return server.createNode(
          memberNode(name(number), `10.244.${number + 10}.0/24`, `198.51.100.${number + 1}`, mac),
        );
      });
      await untilRoutes(lab, CROWD + 2);
      for (let number = 0; number < CROWD; number++) await server.deleteNode(name(number));
      await untilRoutes(lab, 2);
    });
    for (const host of lab.hosts) {
      const node = await server.node(host.name);
      const { conditions } = node!.status as { conditions: { type: string; status: string }[] };
      assertEquals(conditions.find(({ type }) => type === "NetworkUnavailable")?.status, "False", host.name);
    }
    await assertEndsSoon(lab);
  });
});

Deno.test("etcd is away for a minute, and what changed is compacted when it is back: no packet is lost", async () => {
  await withEtcdOverlay(async ({ lab, libc, server, stopServer, relay }) => {
    const [h1, h2] = hostsOf(lab);
    await underTraffic(lab, async () => {
      await stopServer();
      const stoppedMs = performance.now();
      // Meanwhile an agent is killed, and starts with what it knew.
      await until(
        "see the lease cache",
        async () =>
          (await Deno.readTextFile(`${h2.directory}/leases.json`).catch(() => "")) !== "" || undefined,
      );
      while (performance.now() - stoppedMs < MINUTE_MS) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      const status = await statusOf(libc, h1);
      assert(
        status!.notes.some((note) => note.startsWith("the registry can't be followed: etcd at ")),
        JSON.stringify(status),
      );
      assertEquals(status!.ready, true, "what is built stays, and forwards");
      // The server is back, but not yet for the hosts: what they were told last is forgotten before they ask.
      await server.start();
      const free = 200;
      await server.put(
        `${ETCD_PREFIX}/subnets/10.244.${free}.0-24`,
        flannelValue("198.51.100.7", "0e:00:00:00:02:07"),
      );
      await server.compact();
      await relay.start();
      await untilRoutes(lab, 3);
      await server.delete(`${ETCD_PREFIX}/subnets/10.244.${free}.0-24`);
      await untilRoutes(lab, 2);
    });
    for (const host of lab.hosts) await untilReady(libc, host);
    await assertEndsSoon(lab);
  });
});

Deno.test("an agent that starts while its registry is away builds what it knew, and says what it waits for", async () => {
  await withEtcdOverlay(async ({ lab, libc, flags, stopServer, startServer }) => {
    const [h1] = hostsOf(lab);
    const cache = `${h1.directory}/leases.json`;
    await until("see the lease cache with all hosts", async () => {
      const text = await Deno.readTextFile(cache).catch(() => "");
      return text.split("\n").length === 1 + lab.hosts.length + 1 || undefined;
    });
    await stopServer();
    await h1.stopAgent("SIGKILL");
    // As after a reboot: nothing of the overlay is left in the kernel.
    await h1.exec("ip", "link", "delete", "flannel.1");
    const lines = (await h1.logLines()).length;
    h1.startAgent(flags);
    await untilReachable(lab);
    await untilReady(libc, h1);
    const status = await statusOf(libc, h1);
    assert(
      status!.notes.includes("the peers are those that were known before the agent started"),
      JSON.stringify(status),
    );
    const log = await logSince(h1, lines);
    assert(log.some(({ event }) => event === "network configuration remembered"));
    await startServer();
    await until(
      "hear the registry again",
      async () => (await statusOf(libc, h1))!.notes.length === 0 || undefined,
    );
    await untilReachable(lab);
  });
});

Deno.test("the API server is restarted: no packet is lost, and the next change is seen", async () => {
  await withKubeOverlay("real", async ({ lab, libc, server, stopServer, startServer }) => {
    await underTraffic(lab, async () => {
      await stopServer();
      for (const host of lab.hosts) {
        await until(`hear from ${host.name} that the server is away`, async () => {
          const status = await statusOf(libc, host);
          return status!.notes.some((note) =>
            note.includes("the API server at 192.0.2.254:6443 does not answer")
          ) || undefined;
        });
      }
      await startServer();
      await server.createNode(memberNode("joined", "10.244.9.0/24", "198.51.100.9", "0e:00:00:00:01:09"));
      await untilRoutes(lab, 3);
    });
    for (const host of lab.hosts) await untilReady(libc, host);
  });
});
