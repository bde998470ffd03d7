import { assertEquals, assertLess, assertMatch } from "@std/assert";
import { DataPathProbe, type ProbeDeps } from "../../src/host/probe.ts";
import { probeNote, type ProbeResult, type ProbeTarget } from "../../src/host/probe_policy.ts";
import type { LabHost } from "../../src/lab/host.ts";
import {
  AF_INET,
  AF_INET6,
  type Family,
  familyOf,
  formatAddress,
  formatPrefix,
} from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { UdpSocket } from "../../src/linux/udp_socket.ts";
import { hostsOf, untilSettled, withOverlay } from "../double/overlay_rig.ts";
import { RecordedLog } from "../double/recorded_log.ts";

const BOTH: readonly Family[] = [AF_INET, AF_INET6];
/** A peer on the same machine answers at once; machines are shared. */
const DEADLINE_MS = 5000;
const FAST = 20;

/** The peers of `host`, at their VTEPs or in the underlay. */
function targetsFrom(host: LabHost, peers: readonly LabHost[], where: "overlay" | "underlay"): ProbeTarget[] {
  const addresses = ({ share, underlayAddresses }: LabHost) =>
    where === "overlay" ? share.subnets.map(({ address }) => address) : underlayAddresses;
  return peers.flatMap((peer) =>
    addresses(peer).map((target, index) => ({ host: peer.name, source: addresses(host)[index]!, target }))
  );
}

function probeOf(libc: Libc, host: LabHost, targets: readonly ProbeTarget[], deps: Partial<ProbeDeps> = {}) {
  return new DataPathProbe({
    targets: () => targets,
    open: (path) => libc.inNetns(host.netns.path, () => UdpSocket.open(libc, path)),
    random: Math.random,
    elapsedMs: () => performance.now(),
    log: new RecordedLog(),
    ...deps,
  });
}

/** What a probe comes to within two rounds. */
async function resultOf(libc: Libc, host: LabHost, targets: readonly ProbeTarget[]): Promise<ProbeResult> {
  const probe = probeOf(libc, host, targets);
  await probe.run({ signal: AbortSignal.timeout(1500) });
  return probe.result;
}

async function iptables(host: LabHost, ...rule: string[]): Promise<void> {
  for (const program of ["iptables", "ip6tables"]) {
    const { code, stderr } = await host.exec(program, ...rule);
    assertEquals(code, 0, stderr);
  }
}

const kinds: [name: string, network: Record<string, unknown>, where: "overlay" | "underlay"][] = [
  ["VXLAN", { Type: "vxlan" }, "overlay"],
  ["VXLAN with direct routes", { Type: "vxlan", DirectRouting: true }, "overlay"],
  ["host-gw", { Type: "host-gw" }, "underlay"],
];

for (const [name, Backend, where] of kinds) {
  Deno.test(`a probe proves the data path of both families over ${name}, at once`, async () => {
    const networkConfig = {
      Network: "10.244.0.0/16",
      EnableIPv6: true,
      IPv6Network: "fd00:10:244::/56",
      Backend,
    };
    await withOverlay({ hosts: 3, families: BOTH, networkConfig }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1, h2, h3] = hostsOf(lab);
      const probe = probeOf(libc, h1, targetsFrom(h1, [h2, h3], where));
      const startMs = performance.now();
      await probe.run(new AbortController());
      assertLess(performance.now() - startMs, DEADLINE_MS);
      const { state, peers } = probe.result;
      assertEquals([state, peers.map(({ target }) => familyOf(target))], ["proved", [...BOTH]]);
    });
  });
}

Deno.test("a probe tells firewalls and lost routes from peers that answer", async (t) => {
  await withOverlay({ hosts: 2, families: BOTH, isRouted: true }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    const targets = targetsFrom(h1, [h2], "overlay");
    const outcomes = async () => {
      const { state, peers } = await resultOf(libc, h1, targets);
      return [state, ...peers.map(({ outcome }) => outcome)];
    };

    await t.step("a refusal by the peer's firewall is an answer of the peer", async () => {
      const rule = ["INPUT", "-i", "flannel+", "-p", "udp", "-j", "REJECT"];
      for (
        const [program, type] of [["iptables", "icmp-admin-prohibited"], [
          "ip6tables",
          "icmp6-adm-prohibited",
        ]]
      ) {
        assertEquals((await h2.exec(program!, "-A", ...rule, "--reject-with", type!)).code, 0);
      }
      assertEquals(await outcomes(), ["proved", "answered", "answered"]);
      await iptables(h2, "-F", "INPUT");
    });

    await t.step("a peer whose firewall drops the datagrams is silent", async () => {
      await iptables(h2, "-A", "INPUT", "-i", "flannel+", "-p", "udp", "-j", "DROP");
      assertEquals(await outcomes(), ["waiting", "silent", "silent"]);
      await iptables(h2, "-F", "INPUT");
    });

    await t.step("a refusal by this host's own firewall is none", async () => {
      await iptables(h1, "-A", "OUTPUT", "-o", "flannel+", "-p", "udp", "-j", "REJECT");
      const refused = "this host's own rules or routes refuse it with EPERM";
      assertEquals(await outcomes(), ["waiting", refused, refused]);
      await iptables(h1, "-F", "OUTPUT");
    });

    await t.step("a closed VXLAN port leaves the probe unanswered until it is opened", async () => {
      await iptables(h2, "-A", "INPUT", "-p", "udp", "--dport", "8472", "-j", "DROP");
      const startMs = performance.now();
      const probe = probeOf(libc, h1, targets, { elapsedMs: () => (performance.now() - startMs) * FAST });
      const running = probe.run({ signal: AbortSignal.timeout(DEADLINE_MS) });
      const note = Promise.withResolvers<string>();
      const timer = setInterval(() => {
        const text = probeNote(probe.result, 8472);
        if (text !== undefined) note.resolve(text);
      }, 10);
      assertMatch(
        await note.promise,
        /^no packet has come back .* h2 \(10\.244\..*, h2 \(fd00:.*UDP port 8472/,
      );
      clearInterval(timer);
      await iptables(h2, "-F", "INPUT");
      await running;
      assertEquals(probe.result.state, "proved");
    });

    await t.step("a router that the packets stray to answers for nobody", async () => {
      // Else it would mend the routes.
      await h1.stopAgent();
      for (const [index, { address, length }] of h2.share.subnets.entries()) {
        const isIpv4 = familyOf(address) === AF_INET;
        const [family, type] = isIpv4 ? ["-4", "icmp-admin-prohibited"] : ["-6", "icmp6-adm-prohibited"];
        const lost = await h1.exec("ip", family!, "route", "delete", formatPrefix({ address, length }));
        assertEquals(lost.code, 0, lost.stderr);
        // The router knows both ways, and refuses as a peer's firewall would.
        for (const { share, underlayAddresses } of [h1, h2]) {
          const via = ["via", formatAddress(underlayAddresses[index]!)];
          await lab.underlay.mustExec(
            "ip",
            family!,
            "route",
            "add",
            formatPrefix(share.subnets[index]!),
            ...via,
          );
        }
        const reject = ["-A", "FORWARD", "-p", "udp", "-j", "REJECT", "--reject-with", type!];
        await lab.underlay.mustExec(isIpv4 ? "iptables" : "ip6tables", ...reject);
      }
      const far = probeOf(libc, h1, targets, {
        open: (path) => libc.inNetns(h1.netns.path, () => UdpSocket.open(libc, { ...path, hopLimit: 64 })),
      });
      await far.run({ signal: AbortSignal.timeout(1500) });
      assertEquals(far.result.state, "proved", "what a greater hop limit would make of it");
      const { peers } = await resultOf(libc, h1, targets);
      assertEquals(peers.map(({ outcome }) => outcome), ["silent", "silent"]);
    });
  });
});
