import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { conditionsAt, pathsOf } from "../double/agent_door.ts";
import { registryName, until, untilReady, untilUnready, withOverlay } from "../double/overlay_rig.ts";

// deno-lint-ignore no-console
const print = console.log;
const HOSTS = 10;
/** What a verdict may take: two periods and the examination, on a machine that does other things too. */
const VERDICT_MS = 5000;
/** What is over must be called so. */
const PATH_CODES = ["path-mtu-small", "path-broken", "path-damaged", "path-lossy", "overlay-cut-off"];

function hostAt(lab: Lab, number: number): LabHost {
  return lab.hosts[number - 1]!;
}

async function untilAllGood(lab: Lab): Promise<void> {
  for (const host of lab.hosts) {
    let state = "";
    await until(`see ${host.name} with good paths alone`, async () => {
      const paths = await pathsOf(host);
      const codes = [...(await conditionsAt(host)).keys()].filter((code) => PATH_CODES.includes(code));
      state = `${paths.map((path) => `${path.host} ${path.state} ${path.reason ?? ""}`).join("; ")} ${codes}`;
      const isGood = paths.length === lab.hosts.length - 1 && paths.every((path) => path.state === "good");
      return isGood && codes.length === 0 || undefined;
    }, () => state);
  }
}

/** Waits until a host says something of a kind, and answers with what and when. */
async function untilSaid(
  hosts: readonly LabHost[],
  code: string,
  words: RegExp,
): Promise<{ readonly sentence: string; readonly by: string; readonly tookMs: number }> {
  const startMs = performance.now();
  let said = "";
  return await until(`hear ${code} ${words}`, async () => {
    for (const host of hosts) {
      const conditions = await conditionsAt(host);
      said = [...conditions.keys()].join();
      const sentence = conditions.get(code);
      if (sentence !== undefined) said += ` ${sentence}`;
      if (sentence !== undefined && words.test(sentence)) {
        return { sentence, by: host.name, tookMs: performance.now() - startMs };
      }
    }
  }, () => said);
}

/** A name as it is in a regular expression. */
function nameIn(host: LabHost): string {
  return registryName(host).replaceAll(".", "\\.");
}

async function iptables(host: LabHost, ...rule: string[]): Promise<void> {
  await host.netns.mustExec("iptables", ...rule);
}

async function nft(host: LabHost, ...lines: string[]): Promise<void> {
  for (const line of lines) await host.netns.mustExec("nft", ...line.split(" "));
}

Deno.test("ten hosts say which path is bad, and why", async (t) => {
  await withOverlay({ hosts: HOSTS }, async (lab, libc) => {
    await t.step("all paths are good at first", () => untilAllGood(lab));
    await t.step("a peer behind a smaller MTU is named with both MTUs", () => narrow(lab));
    await t.step("a peer that drops VXLAN is named, and knows itself", () => deaf(lab, libc));
    await t.step("a host that may not send over the overlay itself is ready, and says so", () => mute(lab));
    await t.step("a path that is broken one way is named with the way", () => oneWay(lab));
    await t.step("checksums that are spoilt are told from what is lost", () => spoilt(lab));
    await t.step("what is damaged on the way is found", () => mangled(lab));
    await t.step("the others' agents may all be gone: this host stays ready", () => alone(lab, libc));
  });
});

/** Packets over 1430 bytes do not get to h3, nor from it; a veth lets four more bytes pass. */
async function narrow(lab: Lab): Promise<void> {
  const bad = hostAt(lab, 3);
  const others = lab.hosts.filter((host) => host !== bad);
  await lab.underlay.mustExec("ip", "link", "set", bad.name, "mtu", "1430");
  const { sentence, by, tookMs } = await untilSaid(
    others,
    "path-mtu-small",
    new RegExp(`${nameIn(bad)} \\(1450 bytes expected, 138\\d get through, underlay 143\\d`),
  );
  print(`    ${by} after ${Math.round(tookMs)} ms: ${sentence}`);
  assertLess(tookMs, VERDICT_MS);
  await lab.underlay.mustExec("ip", "link", "set", bad.name, "mtu", "1500");
  await untilAllGood(lab);
}

/** h4 drops what comes in by VXLAN. */
async function deaf(lab: Lab, libc: Libc): Promise<void> {
  const bad = hostAt(lab, 4);
  const rule = ["INPUT", "-p", "udp", "--dport", "8472", "-j", "DROP"];
  await iptables(bad, "-I", ...rule);
  const { sentence, by, tookMs } = await untilSaid(
    lab.hosts.filter((host) => host !== bad),
    "path-broken",
    new RegExp(`${nameIn(bad)} \\(packets over the overlay are lost on the way there`),
  );
  print(`    ${by} after ${Math.round(tookMs)} ms: ${sentence}`);
  await untilUnready(libc, bad, "this host is cut off from all others in IPv4");
  await untilReady(libc, hostAt(lab, 1));
  await iptables(bad, "-D", ...rule);
  await untilReady(libc, bad);
  await untilAllGood(lab);
}

/** What h5 itself sends over the overlay is refused, and what pods send is not. */
async function mute(lab: Lab): Promise<void> {
  const bad = hostAt(lab, 5);
  const rule = ["OUTPUT", "-o", "flannel.1", "-j", "DROP"];
  await iptables(bad, "-I", ...rule);
  await untilSaid(
    [bad],
    "path-probes-refused",
    /refuses what the host itself sends over the overlay in IPv4/,
  );
  const endMs = performance.now() + 15_000;
  await until("see that nobody is called cut off", async () => {
    for (const host of lab.hosts) {
      const codes = [...(await conditionsAt(host)).keys()].filter((code) => PATH_CODES.includes(code));
      assertEquals(codes, [], host.name);
    }
    return performance.now() >= endMs || undefined;
  });
  await iptables(bad, "-D", ...rule);
  await untilAllGood(lab);
}

/** h5 does not hear h6. */
async function oneWay(lab: Lab): Promise<void> {
  const [deaf, unheard] = [hostAt(lab, 5), hostAt(lab, 6)];
  const rule = ["INPUT", "-s", registryName(unheard), "-p", "udp", "--dport", "8472", "-j", "DROP"];
  await iptables(deaf, "-I", ...rule);
  const there = await untilSaid([unheard], "path-broken", new RegExp(`${nameIn(deaf)} .*on the way there`));
  const back = await untilSaid([deaf], "path-broken", new RegExp(`${nameIn(unheard)} .*on the way back`));
  print(
    `    after ${Math.round(there.tookMs)} and ${Math.round(back.tookMs)} ms more: ${back.sentence}`,
  );
  for (const host of lab.hosts) assertEquals((await conditionsAt(host)).has("overlay-cut-off"), false);
  await iptables(deaf, "-D", ...rule);
  await untilAllGood(lab);
}

/** h7 drops what has a UDP checksum, as a kernel does that finds it wrong. */
async function spoilt(lab: Lab): Promise<void> {
  const bad = hostAt(lab, 7);
  await nft(
    bad,
    "add table ip spoil",
    "add chain ip spoil pre { type filter hook prerouting priority -300 ; }",
    "add rule ip spoil pre iifname flannel.1 udp checksum != 0 drop",
  );
  const others = lab.hosts.filter((host) => host !== bad);
  const { sentence, tookMs } = await untilSaid(
    others,
    "path-damaged",
    new RegExp(`${nameIn(bad)} \\(packets over the overlay are damaged on the way there`),
  );
  print(`    after ${Math.round(tookMs)} ms: ${sentence}`);
  assertEquals((await conditionsAt(hostAt(lab, 1))).has("path-broken"), false);
  await nft(bad, "delete table ip spoil");
  await untilAllGood(lab);
}

/** What h8 sends over the overlay is changed in the middle, and its checksum is made right again. */
async function mangled(lab: Lab): Promise<void> {
  const bad = hostAt(lab, 8);
  await nft(
    bad,
    "add table ip spoil",
    "add chain ip spoil post { type filter hook postrouting priority 300 ; }",
    "add rule ip spoil post oifname flannel.1 udp dport 8475 @th,1600,32 set 0x0badbeef",
  );
  const others = lab.hosts.filter((host) => host !== bad);
  const { sentence } = await untilSaid(
    others,
    "path-damaged",
    new RegExp(`${nameIn(bad)} \\(packets over the overlay are damaged on the way back`),
  );
  const own = await untilSaid([bad], "path-damaged", /damaged on the way there/);
  print(`    ${sentence}; ${bad.name}: ${own.sentence}`);
  await nft(bad, "delete table ip spoil");
  await untilAllGood(lab);
}

/** All others' agents end. Their kernels answer, and so the paths are good. */
async function alone(lab: Lab, libc: Libc): Promise<void> {
  const [last, ...others] = lab.hosts as readonly [LabHost, ...LabHost[]];
  await Promise.all(others.map((host) => host.stopAgent("SIGKILL")));
  const endMs = performance.now() + 10_000;
  let states = new Set<string>();
  while (performance.now() < endMs) {
    const conditions = await conditionsAt(last);
    for (const code of PATH_CODES) assert(!conditions.has(code), `${code}: ${conditions.get(code)}`);
    states = new Set((await pathsOf(last)).map(({ state }) => state));
    await until("wait a moment", async () => (await pathsOf(last)).length > 0 || undefined);
  }
  await untilReady(libc, last);
  assertMatch([...states].join(), /good/);
}

Deno.test("of two hosts the one that is left stays ready, and says that the other is silent", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    const [left, gone] = lab.hosts as readonly LabHost[] as readonly [LabHost, LabHost];
    await untilAllGood(lab);
    lab.setConnected(gone, false);
    const { tookMs } = await untilSaid([left], "peers-silent", new RegExp(nameIn(gone)));
    print(`    after ${Math.round(tookMs)} ms`);
    await untilReady(libc, left);
    assertEquals((await conditionsAt(left)).has("path-broken"), false);
    lab.setConnected(gone, true);
    await untilAllGood(lab);
  });
});

Deno.test("who turns probes off is not asked, unless a host asks all", async () => {
  await withOverlay({ hosts: 3, withAgents: false }, async (lab) => {
    const [asks, takesPart, off] = lab.hosts as readonly LabHost[] as readonly [LabHost, LabHost, LabHost];
    asks.startAgent(["-path-probes=on"]);
    takesPart.startAgent();
    off.startAgent(["-path-probes=off"]);
    for (const host of lab.hosts) await host.waitForSubnets();
    const seenBy = async (host: LabHost) =>
      (await pathsOf(host)).filter(({ state }) => state === "good").map(({ host }) => host).sort().join();
    await until("see both by who asks all", async () => {
      return await seenBy(asks) === [takesPart, off].map(registryName).sort().join() || undefined;
    });
    await until("see the other by who asks those that take part", async () => {
      return await seenBy(takesPart) === registryName(asks) || undefined;
    });
    assertEquals(await pathsOf(off), []);
  });
});
