import { assertEquals, assertLess } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { AF_INET, AF_INET6, type Family, formatAddress, parseAddress } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { plugIn, plugInSecond } from "../double/overlay_card.ts";
import { httpGet } from "../double/overlay_http.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";
import {
  agentCommand,
  hostsOf,
  logSince,
  statusOf,
  until,
  untilReachable,
  untilSettled,
  withOverlay,
} from "../double/overlay_rig.ts";

/** The lab's agents without its `-iface=eth0`: flags that are given twice add up. */
const WITHOUT_IFACE = [
  "bash",
  "-c",
  'for word; do [[ $word == -iface=eth0 ]] || words+=("$word"); done; exec "${words[@]}"',
  "--",
  ...agentCommand,
];
/** What agents have heard, planned and done before as many packets are answered, 100 a second. */
const A_WHILE = 100;
/** A return is noticed at once; machines are shared. */
const NOTICED_MS = 3000;

function ip(host: LabHost, ...args: string[]): Promise<string> {
  return host.netns.mustExec("ip", ...args);
}

/** The underlay addresses that the lease of `host` publishes. */
async function published(libc: Libc, host: LabHost): Promise<readonly string[]> {
  const status = await statusOf(libc, host) as unknown as
    | { lease: { underlayAddresses: string[] } }
    | undefined;
  return status?.lease.underlayAddresses ?? [];
}

async function untilPublished(libc: Libc, host: LabHost, wanted: readonly string[]): Promise<void> {
  let last: readonly string[] = [];
  await until(`see ${wanted} published`, async () => {
    last = await published(libc, host);
    return String(last) === String(wanted) ? true : undefined;
  }, () => `it is ${last}`);
}

/** Every address that the agent of `host` has ever chosen. */
async function everChosen(host: LabHost): Promise<Set<string>> {
  const lines = await logSince(host, 0);
  return new Set(lines.flatMap(({ underlayAddresses }) => (underlayAddresses ?? []) as string[]));
}

const vips: [family: Family, start: string, vip: string, more: string[], kind: string][] = [
  [AF_INET, "192.0.2.1/24", "192.0.2.200/32", [], "a static address"],
  [
    AF_INET,
    "192.0.2.1/24",
    "192.0.2.200/32",
    ["valid_lft", "3600", "preferred_lft", "3600"],
    "a DHCP address",
  ],
  [AF_INET6, "2001:db8::1/64", "2001:db8::aaaa/128", ["nodad"], "an address"],
];

for (const [family, start, vip, more, kind] of vips) {
  const stack = family === AF_INET ? "IPv4" : "IPv6";
  const [own] = start.split("/") as [string];
  Deno.test(`a virtual ${stack} address beside ${kind} comes, stays while that is put back, and moves: nobody's underlay`, async () => {
    await withOverlay({ hosts: 3, families: [family] }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1, h2, h3] = hostsOf(lab);
      const nodad = family === AF_INET ? [] : ["nodad"];
      if (more.length > 0) await ip(h1, "address", "change", start, "dev", "eth0", ...more);
      const pings = await Promise.all([RunningPing.start(h1, h2), RunningPing.start(h3, h1)]);
      await using stack = new AsyncDisposableStack();
      for (const ping of pings) stack.use(ping);
      const other = stack.use(await RunningPing.start(h2, h3));
      await ip(h1, "address", "add", vip, "dev", "eth0", ...nodad);
      await pings[1]!.untilMore(A_WHILE);
      assertEquals(await published(libc, h1), [own]);
      await assertNoneLost(pings);
      // What `netplan apply` does.
      await ip(h1, "address", "delete", start, "dev", "eth0");
      await other.untilMore(A_WHILE);
      assertEquals(await published(libc, h1), [own]);
      assertEquals((await httpGet(libc, h1.netns, "/readyz"))?.status, 503, "it is lost, and that is said");
      await ip(h1, "address", "add", start, "dev", "eth0", ...more.length > 0 ? more : nodad);
      await ip(h1, ...family === AF_INET ? [] : ["-6"], "route", "replace", "default", "dev", "eth0");
      await untilSettled(lab, libc);
      const again = await Promise.all([RunningPing.start(h1, h2), RunningPing.start(h3, h1)]);
      for (const ping of again) stack.use(ping);
      await ip(h1, "address", "delete", vip, "dev", "eth0");
      await ip(h2, "address", "add", vip, "dev", "eth0", ...nodad);
      await again[0]!.untilMore(A_WHILE);
      await assertNoneLost([...again, other]);
      for (const host of [h1, h2, h3]) {
        assertEquals([...await everChosen(host)], host.underlayAddresses.map(formatAddress), host.name);
      }
    });
  });
}

Deno.test("a VPN's default route with the better metric comes and goes, and moves nothing", async () => {
  await withOverlay({ hosts: 2, agentCommand: WITHOUT_IFACE }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    await ip(h1, "route", "add", "default", "via", "192.0.2.254", "dev", "eth0", "metric", "100");
    await ip(h1, "route", "delete", "default", "via", "192.0.2.254", "dev", "eth0", "metric", "0");
    await using ping = await RunningPing.start(h2, h1);
    await ip(h1, "link", "add", "tun0", "type", "veth", "peer", "name", "tun0-far");
    await ip(h1, "link", "set", "tun0-far", "up");
    await ip(h1, "address", "add", "198.18.0.6/24", "dev", "tun0");
    await ip(h1, "link", "set", "tun0", "up");
    await ip(h1, "route", "add", "default", "dev", "tun0", "metric", "50");
    await ping.untilMore(A_WHILE);
    // An agent that is started anew knows where it stood.
    await h1.stopAgent();
    h1.startAgent();
    await until("see it ready again", async () => {
      return (await statusOf(libc, h1))?.ready ? true : undefined;
    });
    await ip(h1, "route", "delete", "default", "dev", "tun0", "metric", "50");
    await ip(h1, "route", "add", "default", "dev", "tun0", "metric", "50");
    await ip(h1, "link", "set", "tun0", "down");
    await ping.untilMore(A_WHILE);
    await assertNoneLost([ping]);
    assertEquals([...await everChosen(h1)], ["192.0.2.1"]);
  });
});

Deno.test("a default route that moves to a VPN whose peers answer nobody moves nothing, and that is said", async () => {
  await withOverlay({ hosts: 2, agentCommand: WITHOUT_IFACE }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    await using ping = await RunningPing.start(h2, h1);
    await ip(h1, "link", "add", "tun0", "type", "veth", "peer", "name", "tun0-far");
    await ip(h1, "link", "set", "tun0-far", "up");
    await ip(h1, "address", "add", "198.18.0.6/24", "dev", "tun0");
    await ip(h1, "link", "set", "tun0", "up");
    await ip(h1, "route", "replace", "default", "dev", "tun0");
    const note = "198.18.0.6 on tun0 would carry the overlay (eth0 is no way out any more), " +
      "but no peer answers from there: 192.0.2.1 on eth0 stays";
    await until("see the note", async () => {
      return (await statusOf(libc, h1))?.notes.includes(note) ? true : undefined;
    }, () => note);
    await assertNoneLost([ping]);
    assertEquals([...await everChosen(h1)], ["192.0.2.1"]);
    await ip(h1, "route", "replace", "default", "via", "192.0.2.254", "dev", "eth0");
    await until("see no note", async () => {
      return (await statusOf(libc, h1))?.notes.length === 0 ? true : undefined;
    });
  });
});

Deno.test("a card that is made again under an expression that fits the pods' bridge too is waited for", async () => {
  const options = { hosts: 3, agentCommand: WITHOUT_IFACE, agentFlags: ["-iface-regex=^1"] };
  await withOverlay(options, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2, h3] = hostsOf(lab);
    await using ping = await RunningPing.start(h2, h3);
    for (let round = 0; round < 2; round++) {
      await ip(h1, "link", "delete", "eth0");
      let answer = "";
      await until("see why there is no underlay", async () => {
        answer = (await httpGet(libc, h1.netns, "/readyz"))?.body ?? "";
        return answer.includes("-iface-regex ^1: flannel.1 is a VTEP") || answer.includes("the pods' bridge")
          ? true
          : undefined;
      }, () => answer);
      assertEquals(await published(libc, h1), ["192.0.2.1"]);
      plugIn(lab, libc, h1);
      await untilSettled(lab, libc);
    }
    await assertNoneLost([ping]);
    assertEquals([...await everChosen(h1)], ["192.0.2.1"]);
  });
});

Deno.test("the first of two links is lost and comes back: it is taken back at once, once a peer has answered", async () => {
  await withOverlay({ hosts: 3, agentFlags: ["-iface=eth1"] }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2, h3] = hostsOf(lab);
    plugInSecond(lab, libc, h1, "eth1", { address: parseAddress("192.0.2.101"), length: 32 });
    await ip(h1, "route", "add", "192.0.2.0/24", "dev", "eth1", "src", "192.0.2.101", "metric", "1024");
    await using other = await RunningPing.start(h2, h3);
    await ip(h1, "address", "delete", "192.0.2.1/24", "dev", "eth0");
    await untilPublished(libc, h1, ["192.0.2.101"]);
    await untilReachable(lab);
    await using ping = await RunningPing.start(h2, h1);
    const startedMs = performance.now();
    await ip(h1, "address", "add", "192.0.2.1/24", "dev", "eth0");
    await untilPublished(libc, h1, ["192.0.2.1"]);
    assertLess(performance.now() - startedMs, NOTICED_MS);
    await ping.untilMore(A_WHILE);
    await assertNoneLost([ping, other]);
    const reasons = (await logSince(h1, 0)).filter(({ event }) => event === "underlay changed")
      .map(({ reason }) => reason);
    assertEquals(reasons, ["eth0 has lost 192.0.2.1", "-iface eth0, named before -iface eth1, is back"]);
  });
});
