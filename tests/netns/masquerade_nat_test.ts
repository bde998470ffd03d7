import { assertEquals } from "@std/assert";
import {
  AF_INET,
  AF_INET6,
  type Family,
  formatAddress,
  parseAddress,
  parsePrefix,
} from "../../src/model/address.ts";
import { addressOf } from "../../src/nftables/value.ts";
import { TrafficRules } from "../../src/firewall/traffic_rules.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../src/netlink/socket.ts";
import { FLANNELD_LOOK } from "../double/flanneld_rules.ts";
import { linkIndexOf, TestNetns } from "../double/netns.ts";
import { NftHost, wishes } from "../double/nft_host.ts";
import { legacyOf } from "../double/nft_legacy.ts";
import { NetnsSocket } from "../double/overlay_sockets.ts";

// A pod, its host, and all that is far from there, in three network namespaces:
//
//   pod 10.244.1.2 --- 10.244.1.1 host 192.0.2.1 --- 192.0.2.2 far: a second host with the pod 10.244.2.2,
//                      203.0.113.1, 10.244.1.254 too           an outside 192.0.2.9, an excluded 198.51.100.7

/** The addresses of each family. */
const PLAN = {
  [AF_INET]: {
    pod: "10.244.1.2",
    gateway: "10.244.1.1",
    host: "192.0.2.1",
    hostToo: "203.0.113.1",
    hostAsPod: "10.244.1.254",
    // IPv4 sends multicast by the link that has the source.
    hostAsPodLink: "eth0",
    peer: "192.0.2.2",
    remotePod: "10.244.2.2",
    outside: "192.0.2.9",
    excluded: "198.51.100.7",
    multicast: "239.1.2.3",
    podBits: 24,
    underlayBits: 24,
    wholeBits: 32,
  },
  [AF_INET6]: {
    pod: "fd00:10:244:1::2",
    gateway: "fd00:10:244:1::1",
    host: "2001:db8::1",
    hostToo: "2001:db8:5::1",
    hostAsPod: "fd00:10:244:1::fe",
    // IPv6 would masquerade with that address if it were on the link.
    hostAsPodLink: "lo",
    peer: "2001:db8::2",
    remotePod: "fd00:10:244:2::2",
    outside: "2001:db8::9",
    excluded: "2001:db8:7::7",
    multicast: "ff15::1:2:3",
    podBits: 64,
    underlayBits: 64,
    wholeBits: 128,
  },
} as const;

const WISHES = wishes({ excluded: ["198.51.100.0/24", "2001:db8:7::/48"].map(parsePrefix) });
const DEADLINE_MS = 5000;
/** UDP ports whose packets the host marks: as kube-proxy does, and with another bit besides. */
const MARKED = { 4000: "0x4000", 4001: "0x14000" } as const;

/** Where each party is. */
interface Site extends AsyncDisposable {
  readonly host: NftHost;
  readonly pod: TestNetns;
  readonly far: TestNetns;
}

async function openSite(): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const host = stack.use(await NftHost.open());
  const pod = stack.use(await TestNetns.create());
  const far = stack.use(await TestNetns.create());
  await host.netns.ip("link", "add", "cni0", "type", "veth", "peer", "name", "eth0", "netns", pod.name);
  await host.netns.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", far.name);
  for (
    const [netns, link] of [[host.netns, "cni0"], [host.netns, "eth0"], [pod, "eth0"], [far, "eth0"]] as const
  ) {
    await netns.ip("link", "set", link, "up");
  }
  await host.netns.writeSysctl("net/ipv4/ip_forward", "1");
  await host.netns.writeSysctl("net/ipv6/conf/all/forwarding", "1");
  for (const plan of Object.values(PLAN)) {
    const address = (netns: TestNetns, link: string, text: string, bits: number) =>
      netns.ip("address", "add", `${text}/${bits}`, "dev", link);
    await address(host.netns, "cni0", plan.gateway, plan.podBits);
    await address(host.netns, "eth0", plan.host, plan.underlayBits);
    await address(host.netns, plan.hostAsPodLink, plan.hostAsPod, plan.wholeBits);
    await address(host.netns, "lo", plan.hostToo, plan.wholeBits);
    await address(pod, "eth0", plan.pod, plan.podBits);
    for (const text of [plan.peer, plan.outside]) await address(far, "eth0", text, plan.underlayBits);
    for (const text of [plan.remotePod, plan.excluded]) await address(far, "lo", text, plan.wholeBits);
    await pod.ip("route", "add", "default", "via", plan.gateway);
    await far.ip("route", "add", "default", "via", plan.host);
    for (const text of [plan.remotePod, plan.excluded]) {
      await host.netns.ip("route", "add", `${text}/${plan.wholeBits}`, "via", plan.peer);
    }
  }
  await host.netns.ip("route", "add", `${PLAN[AF_INET].multicast}/32`, "dev", "eth0");
  await host.netns.ip(
    "route",
    "add",
    "multicast",
    `${PLAN[AF_INET6].multicast}/128`,
    "dev",
    "eth0",
    "table",
    "local",
  );
  const marks = Object.entries(MARKED).map(([port, mark]) => `udp dport ${port} meta mark set ${mark}`);
  await host.script(`nft -f - <<'END'
table inet marks {
  chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    ${marks.join("\n")}
  }
}
END`);
  const resources = stack.move();
  return { host, pod, far, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

let sent = 0;

/** Sends a datagram, and says with which source address it came to the link `eth0` of `to`. */
async function sourceSeen(
  { host: { libc } }: Site,
  [from, source]: readonly [TestNetns, string],
  [to, target]: readonly [TestNetns, string],
  port = 9,
): Promise<string> {
  const family: Family = target.includes(":") ? AF_INET6 : AF_INET;
  using capture = NetnsSocket.packets(libc, to, await linkIndexOf(to, "eth0"));
  using sender = NetnsSocket.udp(libc, from, family);
  const payload = `datagram ${sent++} of ${Deno.pid}.`;
  sender.bind(parseAddress(source), 0);
  sender.connect(parseAddress(target), port);
  sender.send(new TextEncoder().encode(payload));
  for (const endMs = performance.now() + DEADLINE_MS; performance.now() < endMs;) {
    const frame = capture.receive();
    if (frame === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
    else if (new TextDecoder().decode(frame).endsWith(payload) && isUdp(frame, family)) {
      return sourceOf(frame, family);
    }
  }
  return "nothing";
}

const ETHERNET_BYTES = 14;
/** Where the headers of IP name the protocol and the source. */
const IP_AT = { [AF_INET]: { protocol: 9, source: 12 }, [AF_INET6]: { protocol: 6, source: 8 } } as const;

/** An ICMP error repeats the datagram that it is about. */
function isUdp(frame: Uint8Array, family: Family): boolean {
  return frame[ETHERNET_BYTES + IP_AT[family].protocol] === 17;
}

function sourceOf(frame: Uint8Array, family: Family): string {
  const at = ETHERNET_BYTES + IP_AT[family].source;
  return formatAddress(addressOf(frame.subarray(at, at + (family === AF_INET ? 4 : 16)), family));
}

/** Whether one of the pings is answered, of which one a second is sent: a busy machine must not look like a drop. */
async function pings(from: TestNetns, source: string, target: string, seconds = 5): Promise<boolean> {
  return (await from.run("ping", "-c", "1", "-w", `${seconds}`, "-I", source, target)).code === 0;
}

/** A host's own filter, as arguments of a shell with both programs of the family. */
const styles: readonly {
  name: string;
  filter: (program: string) => string;
  drops: boolean;
  /** What comes there beside ours, and stays. */
  beside?: (host: NftHost) => Promise<void> | void;
  /** What an excluded destination sees then. */
  excludes?: boolean;
}[] = [
  { name: "nft alone", filter: () => "true", drops: false },
  {
    name: "nft, with an agent of another network",
    filter: () => "true",
    drops: false,
    beside: (host) => {
      using transport = host.netns.openTransport(host.libc, { protocol: NETLINK_NETFILTER });
      const other = wishes({
        families: [
          { network: parsePrefix("10.1.0.0/16"), subnet: parsePrefix("10.1.7.0/24") },
          { network: parsePrefix("fd01::/48"), subnet: parsePrefix("fd01::/64") },
        ],
      });
      const { changed } = new TrafficRules(new NetlinkClient(transport), { log: host.log }).keep(other);
      assertEquals(changed, 2);
    },
  },
  {
    name: "iptables-nft with policy DROP, and a flanneld of our network that is left alone",
    filter: (program) => `${program}-nft -P FORWARD DROP`,
    drops: true,
    beside: async (host) => void await host.script(FLANNELD_LOOK),
    excludes: false,
  },
  {
    name: "iptables-nft with policy DROP",
    filter: (program) => `${program}-nft -P FORWARD DROP`,
    drops: true,
  },
  {
    name: "iptables-nft with a final REJECT",
    filter: (program) => `${program}-nft -A FORWARD -j REJECT`,
    drops: true,
  },
  {
    name: "iptables-legacy with policy DROP",
    filter: (program) => `${program}-legacy -P FORWARD DROP`,
    drops: true,
  },
  {
    name: "iptables-legacy with a final REJECT",
    filter: (program) => `${program}-legacy -A FORWARD -j REJECT`,
    drops: true,
  },
];

for (const { name, filter, drops, beside, excludes = true } of styles) {
  Deno.test(`packets of pods pass and have the sources that they must have on a host of ${name}`, async () => {
    await using site = await openSite();
    const { host, pod, far } = site;
    await host.script(`${filter("iptables")}\n${filter("ip6tables")}`);
    for (const plan of Object.values(PLAN)) {
      assertEquals(
        await pings(pod, plan.pod, plan.remotePod, drops ? 1 : 5),
        !drops,
        "what the host does without us",
      );
    }
    host.keep(WISHES);
    await beside?.(host);
    assertEquals(host.rules.keep(WISHES, new Set(["flannel"])).changed, 0);
    const { legacy } = legacyOf(host);
    assertEquals(await legacy.keep(WISHES), { failures: [], warnings: [] });
    for (const plan of Object.values(PLAN)) {
      const { host: own, hostToo, hostAsPod, outside, excluded, remotePod, multicast } = plan;
      const local = host.netns;
      const cases: [
        why: string,
        from: TestNetns,
        source: string,
        to: TestNetns,
        target: string,
        seen: string,
      ][] = [
        ["pod to outside", pod, plan.pod, far, outside, own],
        ["pod to pod elsewhere", pod, plan.pod, far, remotePod, plan.pod],
        ["pod to excluded", pod, plan.pod, far, excluded, excludes ? plan.pod : own],
        ["host to outside", local, hostToo, far, outside, hostToo],
        ["host to pod elsewhere", local, hostToo, far, remotePod, own],
        ["pod elsewhere to pod", far, remotePod, pod, plan.pod, remotePod],
        ["outside to pod", far, outside, pod, plan.pod, outside],
        ["excluded to pod", far, excluded, pod, plan.pod, excluded],
        // No router forwards multicast here: the host sends it, as a pod.
        ["as a pod to multicast", local, hostAsPod, far, multicast, hostAsPod],
        ["as a pod to outside", local, hostAsPod, far, outside, own],
      ];
      for (const [why, from, source, to, target, seen] of cases) {
        assertEquals(await sourceSeen(site, [from, source], [to, target]), seen, why);
      }
      for (const port of Object.keys(MARKED)) {
        const seen = await sourceSeen(site, [pod, plan.pod], [far, outside], Number(port));
        assertEquals(seen, plan.pod, "marked: kube-proxy sees to it");
      }
      // There and back.
      for (const target of [plan.outside, plan.remotePod, plan.excluded]) {
        assertEquals(await pings(pod, plan.pod, target), true, `pod to ${target}`);
      }
      for (const source of [plan.outside, plan.remotePod]) {
        assertEquals(await pings(far, source, plan.pod), true, `${source} to pod`);
      }
    }
  });
}

Deno.test("a drop that stands before the end of FORWARD still drops packets of pods", async () => {
  await using site = await openSite();
  const { host, pod } = site;
  const { pod: source, outside, remotePod } = PLAN[AF_INET];
  await host.script(`iptables -P FORWARD DROP\niptables -A FORWARD -s ${source} -d ${outside} -j DROP`);
  host.keep(WISHES);
  assertEquals(await pings(pod, source, outside, 1), false);
  assertEquals(await pings(pod, source, remotePod), true);
});

Deno.test("another program's chain that drops packets of pods is told of as a doubt that is true", async () => {
  await using site = await openSite();
  const { host, pod } = site;
  const { pod: source, remotePod } = PLAN[AF_INET];
  await host.script(`nft add table inet wall
    nft add chain inet wall forward '{ type filter hook forward priority 10; policy drop; }'`);
  assertEquals(host.keep(WISHES).doubted?.map((text) => text.split(":")[0]), [
    "chain forward of table inet wall has policy drop",
  ]);
  assertEquals(await pings(pod, source, remotePod, 1), false);
  await host.exec("nft", "add", "rule", "inet", "wall", "forward", "ip", "saddr", "10.244.0.0/16", "accept");
  await host.exec("nft", "add", "rule", "inet", "wall", "forward", "ip", "daddr", "10.244.0.0/16", "accept");
  assertEquals(await pings(pod, source, remotePod), true);
});
