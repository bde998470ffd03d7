import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { AF_INET, AF_INET6, formatPrefix } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { DUAL } from "../double/overlay_foreign.ts";
import {
  hostsOf,
  statusOf,
  until,
  untilReachable,
  untilReady,
  untilSettled,
  withOverlay,
} from "../double/overlay_rig.ts";
import { ip, within } from "../double/overlay_standing.ts";

// Another program that undoes what an agent does, as fast as it can.

const FIGHT_SECONDS = 12;
/** What an agent puts back in that time: 20 times at once, then after 1, 2 and 4 s; and two that were under way. */
const MOST_TIMES = 26;
/** Before it puts back what it has left to another program at most. */
const PAUSE_MS = 30_000;
/** A fight of some seconds leaves nothing undone for longer than it took itself. */
const SOON_MS = FIGHT_SECONDS * 1000;
/** What it does put back at once while it fights over something else. */
const AT_ONCE_MS = 2000;

/** What a program does each time that it finds something as Loden wants it. */
interface Opponent {
  /** Succeeds while its change stands. */
  readonly holds: string;
  readonly change: string;
}

/** Has another program change something again for a while; answers how often it had to. */
async function fight(
  { netns }: LabHost,
  { holds, change }: Opponent,
  seconds = FIGHT_SECONDS,
): Promise<number> {
  const script = `end=$(($(date +%s) + ${seconds})); times=0
    while [ $(date +%s) -lt $end ]; do
      if ${holds}; then sleep 0.01; else ${change}; times=$((times + 1)); fi
    done; echo $times`;
  return Number(await netns.mustExec("sh", "-c", script));
}

/** Waits until a host says something in a condition of a code. */
async function untilTold(libc: Libc, host: LabHost, code: string, ...words: string[]): Promise<string> {
  let said = "";
  return await until(`hear of ${words.join(" and ")}`, async () => {
    const conditions = (await statusOf(libc, host))?.conditions ?? [];
    said = JSON.stringify(conditions);
    return conditions.find((one) => one.code === code && words.every((word) => one.reason.includes(word)))
      ?.reason;
  }, () => said);
}

async function routesOf(host: LabHost): Promise<string[]> {
  const texts = await Promise.all(["-4", "-6"].map((version) => ip(host, version, "route", "show")));
  return texts.flatMap((text) => text.split("\n")).map((line) => line.trim());
}

/** Deletes a route, and waits until it is back. */
async function assertRouteComesBack(host: LabHost, version: "-4" | "-6", subnet: string): Promise<void> {
  await ip(host, version, "route", "delete", subnet, "proto", "76");
  const startMs = performance.now();
  await until(`see the route to ${subnet} again`, async () => {
    return (await routesOf(host)).some((line) =>
      line.startsWith(`${subnet} `) && line.includes("proto 76")
    ) ||
      undefined;
  });
  assertLess(performance.now() - startMs, AT_ONCE_MS, "it is put back at once");
}

const LINK_FIGHTS = [
  {
    name: "a program that enslaves flannel.1 to a bridge",
    words: ["link flannel.1 ", "enslaved to br9"],
    holds: "ip -o link show flannel.1 | grep -q 'master br9'",
    change: "ip link set flannel.1 master br9",
    spared: { version: "-6", at: 1 },
  },
  {
    name: "a program that sets flannel-v6.1 down",
    words: ["link flannel-v6.1 ", "down"],
    holds: "! ip -o link show flannel-v6.1 | grep -q '[<,]UP[,>]'",
    change: "ip link set flannel-v6.1 down",
    spared: { version: "-4", at: 0 },
  },
] as const;

for (const { name, words, spared, ...opponent } of LINK_FIGHTS) {
  Deno.test(`${name} again and again is answered ever more rarely, and named`, async () => {
    const networkConfig = { Network: "10.244.0.0/16", ...DUAL };
    await withOverlay({ hosts: 2, families: [AF_INET, AF_INET6], networkConfig }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1, h2] = hostsOf(lab);
      await ip(h1, "link", "add", "br9", "type", "bridge");
      const fighting = fight(h1, opponent);
      const told = await untilTold(libc, h1, "link-fought", ...words);
      assertStringIncludes(told, "21 times within a minute");
      await assertRouteComesBack(h1, spared.version, formatPrefix(h2.share.subnets[spared.at]!));
      const times = await fighting;
      assertLess(times, MOST_TIMES, "put back");
      assertEquals((await statusOf(libc, h1))?.ready, false);
    });
  });
}

Deno.test("who deletes a route again and again is named by its process while that runs, and as one that ends at once if it does", async () => {
  await withOverlay({ hosts: 3, networkConfig: { Network: "10.244.0.0/16" } }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2, h3] = hostsOf(lab);
    const routeTo = (host: LabHost) => formatPrefix(host.share.subnets[0]!);
    /** Has a route deleted, and waits until that was put back. */
    const repaired = async (remove: () => Promise<unknown>) => {
      const repairs = async () =>
        (await h1.logLines()).filter((line) => line.includes('"table changed"')).length;
      const before = await repairs();
      await remove();
      await until("see it put back", async () => await repairs() > before || undefined);
    };
    const child = new Deno.Command("ip", {
      args: ["-n", h1.netns.name, "-batch", "-"],
      stdin: "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const writer = child.stdin.getWriter();
    try {
      for (let times = 0; times < 8; times++) {
        const line = new TextEncoder().encode(`route delete ${routeTo(h2)}\n`);
        await repaired(() => writer.write(line));
        await repaired(() => ip(h1, "route", "delete", routeTo(h3)));
      }
      const words = [`the program ip (process ${child.pid}) has changed route ${routeTo(h2)}`];
      await untilTold(libc, h1, "state-fought", ...words);
    } finally {
      await writer.close();
      await child.status;
    }
    // On a busy machine it may be asked for while it still runs, or just as it ends.
    const ended = String
      .raw`(a program that ends at once, as one that a script calls,|the program ip \(process \d+\))`;
    const pattern = new RegExp(`^${ended} has changed route ${routeTo(h3).replaceAll(".", "\\.")} `);
    let said = "";
    await until("hear who it is", async () => {
      said = await untilTold(libc, h1, "state-fought", `has changed route ${routeTo(h3)}`);
      if (pattern.test(said)) return true;
      await repaired(() => ip(h1, "route", "delete", routeTo(h3)));
    }, () => said);
  });
});

Deno.test("what was left to programs that have ended is put back within half a minute, however long the resync is", async () => {
  await withOverlay({ hosts: 2, networkConfig: { Network: "10.244.0.0/16" } }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1] = hostsOf(lab);
    await h1.stopAgent();
    h1.startAgent(["-resync=3600"]);
    await untilReady(libc, h1);
    const forwarding = "/proc/sys/net/ipv4/ip_forward";
    await Promise.all([
      fight(h1, {
        holds: "! ip -o link show flannel.1 | grep -q '[<,]UP[,>]'",
        change: "ip link set flannel.1 down",
      }, 5),
      fight(h1, { holds: `grep -q 0 ${forwarding}`, change: `echo 0 >${forwarding}` }, 5),
    ]);
    await untilTold(libc, h1, "link-fought", "down");
    await within("see all put back", PAUSE_MS + AT_ONCE_MS, async () => {
      const isUp = (await ip(h1, "-o", "link", "show", "flannel.1")).includes(",UP");
      return isUp && (await h1.netns.mustExec("cat", forwarding)).trim() === "1";
    });
    await untilReachable(lab);
  });
});

Deno.test("a program that turns forwarding off again and again is answered ever more rarely, and named", async () => {
  const networkConfig = { Network: "10.244.0.0/16", ...DUAL };
  await withOverlay({ hosts: 2, families: [AF_INET, AF_INET6], networkConfig }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    const fights = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"].map((path) =>
      fight(h1, { holds: `grep -q 0 /proc/sys/${path}`, change: `echo 0 >/proc/sys/${path}` })
    );
    await untilTold(libc, h1, "state-fought", "net.ipv4.ip_forward 21 times within a minute", "set to 0");
    await untilTold(
      libc,
      h1,
      "state-fought",
      "net.ipv6.conf.all.forwarding 21 times within a minute",
      "only",
    );
    await assertRouteComesBack(h1, "-4", formatPrefix(h2.share.subnets[0]!));
    for (const times of await Promise.all(fights)) assertLess(times, MOST_TIMES, "put back");
  });
});

for (
  const { what, holds, change } of [
    {
      what: "FDB entries",
      holds: "! bridge fdb show dev flannel.1 | grep -q dst",
      change:
        "for mac in $(bridge fdb show dev flannel.1 | cut -d' ' -f1); do bridge fdb del $mac dev flannel.1; done",
    },
    {
      what: "neighbours",
      holds: "! ip neighbour show dev flannel.1 | grep -q PERMANENT",
      change:
        "for ip in $(ip neighbour show dev flannel.1 | cut -d' ' -f1); do ip neighbour del $ip dev flannel.1; done",
    },
  ]
) {
  Deno.test(`a host whose ${what} another program deletes again and again is not ready while they are gone, and soon after`, async () => {
    await withOverlay({ hosts: 3, networkConfig: { Network: "10.244.0.0/16" } }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1] = hostsOf(lab);
      const fighting = fight(h1, { holds, change });
      await untilTold(libc, h1, "host-cut-off", "");
      assertEquals((await statusOf(libc, h1))?.ready, false);
      assertLess(await fighting, 2 * MOST_TIMES, "put back, those of two peers");
      await within("be ready again", SOON_MS, async () => (await statusOf(libc, h1))?.ready === true);
      await untilReachable(lab);
    });
  });
}

Deno.test("a program that removes the subnet file again and again is answered once a second, and named", async () => {
  await withOverlay({ hosts: 2, networkConfig: { Network: "10.244.0.0/16" } }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    const { subnetFilePath: path } = h1;
    const fighting = fight(h1, { holds: `! test -e ${path}`, change: `rm ${path}` });
    await untilTold(libc, h1, "state-fought", `${path} 21 times within a minute`, "every 1 s");
    await assertRouteComesBack(h1, "-4", formatPrefix(h2.share.subnets[0]!));
    assertLess(await fighting, MOST_TIMES + FIGHT_SECONDS, "put back");
    await within("see it again", AT_ONCE_MS, async () => {
      return (await h1.netns.mustExec("sh", "-c", `test -e ${path} && echo there || echo gone`)).trim() ===
        "there";
    });
  });
});

for (const type of ["vxlan", "host-gw"]) {
  const networkConfig = { Network: "10.244.0.0/16", ...DUAL, Backend: { Type: type } };

  Deno.test(`a program that deletes a peer's route again and again is answered ever more rarely, and named, ${type}`, async () => {
    await withOverlay({ hosts: 3, families: [AF_INET, AF_INET6], networkConfig }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1, h2, h3] = hostsOf(lab);
      const fights = h2.share.subnets.map((subnet, at) => {
        const [version, prefix] = [at === 0 ? "-4" : "-6", formatPrefix(subnet)];
        const holds = `! ip ${version} route show ${prefix} | grep -q .`;
        return fight(h1, { holds, change: `ip ${version} route delete ${prefix}` });
      });
      for (const subnet of h2.share.subnets) {
        await untilTold(libc, h1, "state-fought", `route ${formatPrefix(subnet)}`, "only", "deleted");
      }
      await assertRouteComesBack(h1, "-4", formatPrefix(h3.share.subnets[0]!));
      await assertRouteComesBack(h1, "-6", formatPrefix(h3.share.subnets[1]!));
      for (const times of await Promise.all(fights)) assertLess(times, MOST_TIMES, "put back");
    });
  });

  Deno.test(`a program whose routes come back each time that they are taken over is named, ${type}`, async () => {
    await withOverlay({ hosts: 3, families: [AF_INET, AF_INET6], networkConfig }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1, h2, h3] = hostsOf(lab);
      await h1.stopAgent();
      h1.startAgent(["-take-foreign-routes"]);
      await untilReady(libc, h1);
      const fights = h2.share.subnets.map((subnet, at) => {
        const [version, prefix] = [at === 0 ? "-4" : "-6", formatPrefix(subnet)];
        const holds = `ip ${version} route show ${prefix} | grep -q static`;
        const route = `unreachable ${prefix} metric 1 proto static`;
        return fight(h1, { holds, change: `ip ${version} route add ${route}` });
      });
      for (const subnet of h2.share.subnets) {
        await untilTold(libc, h1, "state-fought", `route ${formatPrefix(subnet)}`, "only", "proto static");
      }
      await assertRouteComesBack(h1, "-4", formatPrefix(h3.share.subnets[0]!));
      await assertRouteComesBack(h1, "-6", formatPrefix(h3.share.subnets[1]!));
      for (const times of await Promise.all(fights)) assertLess(times, MOST_TIMES, "put back");
      // What is left to them keeps packets from the peer, which is said too.
      const { faults } = (await statusOf(libc, h1))!.pass;
      assert(faults.some(({ reason }) => reason.includes("comes back")), JSON.stringify(faults));
    });
  });
}
