import { assert, assertEquals } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import { httpGet } from "../double/overlay_http.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";
import { blockRegistry, holders, takeRegistryAway, unblockRegistry } from "../double/overlay_registry.ts";
import {
  hostsOf,
  logSince,
  registryName,
  until,
  untilReachable,
  untilReady,
  untilSettled,
  withOverlay,
} from "../double/overlay_rig.ts";
import { KernelView } from "../double/overlay_state.ts";

const BOTH = [AF_INET, AF_INET6] as const;

Deno.test("the subnet file comes back, as it was, when it is removed or changed", async () => {
  await withOverlay({ hosts: 1, families: BOTH }, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    await untilReady(libc, h1);
    const text = await Deno.readTextFile(h1.subnetFilePath);
    const read = () => Deno.readTextFile(h1.subnetFilePath).catch(() => "");
    const faults: [name: string, make: () => Promise<void>][] = [
      ["removed", () => Deno.remove(h1.subnetFilePath)],
      ["emptied", () => Deno.truncate(h1.subnetFilePath)],
      ["overwritten", () => Deno.writeTextFile(h1.subnetFilePath, "FLANNEL_MTU=9000\n")],
      ["renamed", () => Deno.rename(h1.subnetFilePath, `${h1.subnetFilePath}.old`)],
    ];
    for (const [name, make] of faults) {
      await make();
      await until(`see the file that was ${name}`, async () => await read() === text ? true : undefined);
    }
    await untilReady(libc, h1);
  });
});

Deno.test("a settled host answers /readyz with 200, and says why where it is not settled", async () => {
  await withOverlay({ hosts: 1 }, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    await untilReady(libc, h1);
    assertEquals(await httpGet(libc, h1.netns, "/readyz"), { status: 200, body: "flanneld is ready" });
    assertEquals((await httpGet(libc, h1.netns, "/healthz"))?.status, 200);
    // The file can't be written where a folder stands.
    await until("put a folder there before the agent writes the file again", async () => {
      try {
        await Deno.remove(h1.subnetFilePath);
        await Deno.mkdir(`${h1.subnetFilePath}/in-the-way`, { recursive: true });
        return true;
      } catch (error) {
        if (error instanceof Deno.errors.NotADirectory) return undefined;
        throw error;
      }
    });
    const answer = await until("see the fault", async () => {
      const answer = await httpGet(libc, h1.netns, "/readyz");
      return answer?.status === 503 ? answer : undefined;
    });
    assert(answer.body.includes("subnet.env"), answer.body);
    await Deno.remove(h1.subnetFilePath, { recursive: true });
    await untilReady(libc, h1);
  });
});

Deno.test("a registry that can't be read removes nothing, and is read again when it is back", async () => {
  await withOverlay({ families: BOTH }, async (lab, libc) => {
    await untilSettled(lab, libc);
    await assertUntouched(lab, async ([h1]) => {
      blockRegistry(lab);
      await untilLogged(lab.hosts, "condition set");
      // A start without the registry: nothing is known, so nothing is touched.
      await h1.stopAgent("SIGKILL");
      unblockRegistry(lab);
      h1.startAgent();
      await untilReady(libc, h1);
      await untilLogged(lab.hosts.slice(1), "condition cleared");
    });
    assertEquals(await holders(lab), lab.hosts.map(registryName));
    await untilReachable(lab);
  });
});

Deno.test("a registry that is gone is made anew, with the same leases, and no packet is lost", async () => {
  await withOverlay({ families: BOTH }, async (lab, libc) => {
    await untilSettled(lab, libc);
    await assertUntouched(lab, async () => {
      takeRegistryAway(lab);
      const all = lab.hosts.map(registryName).join();
      await until("see all hosts in the new registry", async () => {
        return (await holders(lab)).join() === all ? true : undefined;
      });
    });
    for (const host of lab.hosts) await untilReady(libc, host);
  });
});

/** Runs `fault` under traffic, and checks that no kernel has changed and no packet was lost. */
async function assertUntouched(
  lab: Lab,
  fault: (hosts: ReturnType<typeof hostsOf>) => Promise<void>,
): Promise<void> {
  const [h1, h2, h3] = hostsOf(lab);
  const views = lab.hosts.map(({ client }) => new KernelView(client));
  const before = views.map((view) => view.lines());
  await using stack = new AsyncDisposableStack();
  const pings: RunningPing[] = [];
  for (const [from, to, family] of [[h1, h2, 0], [h2, h3, 1]] as const) {
    pings.push(stack.use(await RunningPing.start(from, to, family)));
  }
  await fault([h1, h2, h3]);
  await Promise.all(pings.map((ping) => ping.untilMore(20)));
  await assertNoneLost(pings);
  assertEquals(views.map((view) => view.lines()), before);
}

/** Waits until each host has said that its registry is away, or is back. */
async function untilLogged(hosts: readonly LabHost[], event: string): Promise<void> {
  for (const host of hosts) {
    await until(`see "${event}" in the log of ${host.name}`, async () => {
      const lines = await logSince(host, 0);
      const isIt = (line: (typeof lines)[number]) =>
        line["event"] === event && line["code"] === "registry-not-followed";
      return lines.some(isIt) ? true : undefined;
    });
  }
}
