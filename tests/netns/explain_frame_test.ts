import { assert, assertEquals } from "@std/assert";
import { causeOf, explanationLines } from "../../src/command/explain/explanation.ts";
import type { RegistryWord } from "../../src/command/explain/facts.ts";
import { judgeTraffic } from "../../src/command/explain/traffic_facts.ts";
import { Libc } from "../../src/linux/libc.ts";
import { ExplainPair, verdictOf } from "../command/explain/explain_host.ts";

/** A prepared situation on the links of a packet's way. */
interface Situation {
  readonly when: string;
  /** Lines of a shell on the host. */
  readonly made?: string;
  /** Lines of a shell in the pod. */
  readonly madeInPod?: string;
  readonly to?: string;
  readonly from?: string;
  readonly registry?: RegistryWord;
  readonly says: string;
  readonly names?: string;
}

const REMOTE = "10.244.2.5";
const POD = "10.244.1.5";

const netdev = (hook: string, link: string, rule: string) =>
  `nft add table netdev l; nft add chain netdev l c '{ type filter hook ${hook} device "${link}" priority 0; }'; nft add rule netdev l c ${rule}`;
const bridge = (hook: string, rule: string) =>
  `nft add table bridge b; nft add chain bridge b c '{ type filter hook ${hook} priority 0; }'; nft add rule bridge b c ${rule}`;

const SITUATIONS: readonly Situation[] = [
  { when: "all is well, from a pod that there is", says: "ok" },
  { when: "all is well, to a pod of this host", to: POD, says: "ok neighbour-unasked" },
  {
    when: "all is well, to a pod of this host in IPv6",
    to: "fd00:10:244:1::5",
    registry: { kind: "silent", reason: "no agent answers" },
    says: "ok neighbour-unasked",
  },
  {
    when: "a chain of the pod's link drops what comes in",
    made: netdev("ingress", "pod0", "ip daddr 10.244.2.0/24 drop"),
    says: "packet-refused",
    names: "chain c of table netdev l",
  },
  {
    when: "a chain of the pod's link drops another pod's packets",
    made: netdev("ingress", "pod0", "ip saddr 10.244.1.9 drop"),
    says: "ok",
  },
  {
    when: "a chain of the bridge's link drops what comes in",
    made: netdev("ingress", "cni0", "drop"),
    says: "packet-refused",
    names: "as it comes in by cni0",
  },
  {
    when: "a chain of the VTEP drops what leaves",
    made: netdev("egress", "flannel.1", "ip protocol udp drop"),
    says: "packet-refused",
    names: "as it leaves by flannel.1",
  },
  {
    when: "a chain of the VTEP drops the answer",
    made: netdev("ingress", "flannel.1", "drop"),
    says: "answer-refused",
    names: "as it comes in by flannel.1",
  },
  {
    when: "a chain of the underlay drops VXLAN as it leaves",
    made: netdev("egress", "eth0", "udp dport 8472 drop"),
    says: "outer-packet-refused",
    names: "as it leaves by eth0",
  },
  {
    when: "a chain of the underlay drops VXLAN as it comes in",
    made: netdev("ingress", "eth0", "udp dport 8472 drop"),
    says: "outer-answer-refused",
    names: "as it comes in by eth0",
  },
  {
    when: "a chain of the underlay drops by its policy",
    made:
      `nft add table netdev l; nft add chain netdev l c '{ type filter hook ingress device "eth0" priority 0; policy drop; }'`,
    says: "outer-answer-refused",
    names: "policy drop of chain c of table netdev l",
  },
  {
    when: "a chain of another link drops all",
    made: `ip link add other0 type veth peer name other0-p; ip link set other0 up; ${
      netdev("ingress", "other0", "drop")
    }`,
    says: "ok",
  },
  {
    when: "a chain of the underlay asks for a limit",
    made: netdev("egress", "eth0", "limit rate over 1/second drop"),
    says: "ok outer-packet-doubted",
  },
  {
    when: "a chain of inet drops it as it comes in",
    made:
      `nft add table inet l; nft add chain inet l c '{ type filter hook ingress device "cni0" priority 0; }'; nft add rule inet l c meta nfproto ipv4 drop`,
    says: "packet-refused",
    names: "chain c of table inet l",
  },
  {
    when: "a chain of inet is for the other family",
    made:
      `nft add table inet l; nft add chain inet l c '{ type filter hook ingress device "cni0" priority 0; }'; nft add rule inet l c meta nfproto ipv6 drop`,
    says: "ok",
  },
  {
    when: "a chain of the bridge drops what comes in from the pod",
    made: bridge("prerouting", `iifname "pod0" ip daddr 10.244.2.5 drop`),
    says: "packet-refused",
    names: "on the bridge, prerouting",
  },
  {
    when: "a chain of the bridge drops what goes to this host",
    made: bridge("input", "ether type ip drop"),
    says: "packet-refused",
    names: "chain c of table bridge b",
  },
  {
    when: "a chain of the bridge drops what another port sends",
    made: bridge("prerouting", `iifname "pod9" drop`),
    says: "ok",
  },
  {
    when: "a chain of the bridge forwards nothing, which this packet is not",
    made: bridge("forward", "drop"),
    says: "ok",
  },
  {
    when: "a chain of the bridge drops answers to the pod",
    made: bridge("postrouting", `oifname "pod0" drop`),
    says: "answer-refused",
    names: "on the bridge, postrouting",
  },
  {
    when: "a chain of the bridge drops frames of the pod's MAC",
    made: bridge("prerouting", "ether saddr 02:00:00:00:01:05 drop"),
    madeInPod: "ip link set eth0 address 02:00:00:00:01:05",
    says: "packet-refused",
    names: "ether saddr",
  },
  {
    when: "a chain of the bridge drops what goes to a pod of this host",
    made: bridge("output", `oifname "pod0" drop`),
    to: POD,
    says: "packet-refused",
    names: "on the bridge, output",
  },
  {
    when: "ebtables drops what the pod sends",
    made: "ebtables-nft -t filter -A INPUT -i pod0 -j DROP",
    says: "packet-refused",
    names: "table bridge filter",
  },
  {
    when: "the pod's port has no master",
    made: "ip link set pod0 nomaster",
    from: POD,
    says: "port-detached",
    names: "pod0",
  },
  {
    when: "the port of a pod of this host has no master",
    made: "ip link set pod0 nomaster",
    to: POD,
    says: "port-detached",
    names: "ip link",
  },
  {
    when: "the pod's port has another master",
    made: "ip link add br9 type bridge; ip link set br9 up; ip link set pod0 master br9",
    to: POD,
    says: "port-detached",
    names: "br9",
  },
  {
    when: "plugins lead to a pod without a bridge",
    made: "ip link set pod0 nomaster; ip route add 10.244.1.5 dev pod0",
    to: POD,
    says: "ok neighbour-unasked",
  },
  {
    when: "the pod's port is down",
    made: "ip link set pod0 down",
    from: POD,
    says: "port-down",
    names: "pod0",
  },
  {
    when: "the pod's own link is down",
    madeInPod: "ip link set eth0 down",
    to: POD,
    says: "pod-link-down",
    names: "eth0 in the pod 10.244.1.5",
  },
  {
    when: "the pod's port is blocked",
    made:
      "ip link set cni0 type bridge forward_delay 3000 stp_state 1; ip link set pod0 nomaster; ip link set pod0 master cni0",
    from: POD,
    says: "port-blocked",
    names: "pod0, the port of the pod 10.244.1.5, is listening",
  },
  {
    when: "the port of a pod of this host is disabled",
    made: "bridge link set dev pod0 state 0",
    to: POD,
    says: "port-blocked",
    names: "disabled",
  },
  {
    when: "the pod's neighbour entry is fixed to another MAC",
    made: "ip neigh replace 10.244.1.5 dev cni0 lladdr 02:00:00:00:00:77 nud permanent",
    to: POD,
    says: "pod-neighbour-elsewhere",
    names: "02:00:00:00:00:77",
  },
  {
    when: "the pod's neighbour entry is stale and of another MAC",
    made: "ip neigh replace 10.244.1.5 dev cni0 lladdr 02:00:00:00:00:77 nud stale",
    to: POD,
    says: "ok pod-neighbour-elsewhere",
  },
  {
    when: "the bridge takes the pod's MAC for its own",
    // What the pod sends meanwhile may have been learned already; it moves no entry that is permanent or sticky.
    made: "bridge fdb replace 02:00:00:00:01:05 dev pod9 master permanent",
    madeInPod: "ip link set eth0 address 02:00:00:00:01:05",
    to: POD,
    says: "pod-fdb-elsewhere",
    names: "pod9",
  },
  {
    when: "the bridge leads the pod's MAC to another port",
    made: "bridge fdb replace 02:00:00:00:01:05 dev pod9 master static sticky",
    madeInPod: "ip link set eth0 address 02:00:00:00:01:05",
    from: POD,
    says: "pod-fdb-elsewhere",
    names: "to pod9",
  },
  {
    when: "a filter of tc is on the way",
    made: "tc qdisc add dev eth0 clsact; tc filter add dev eth0 egress bpf da bytecode '1,6 0 0 2,'",
    says: "ok tc-unread",
  },
  {
    when: "a filter of tc is on the pod's port",
    made: "tc qdisc add dev pod0 ingress; tc filter add dev pod0 ingress bpf da bytecode '1,6 0 0 2,'",
    says: "ok tc-unread",
  },
  { when: "clsact has no filters", made: "tc qdisc add dev eth0 clsact", says: "ok" },
  {
    when: "a queue lets nothing through",
    made:
      "tc qdisc add dev flannel.1 root handle 1: htb default 1; tc class add dev flannel.1 parent 1: classid 1:1 htb rate 1gbit; tc qdisc add dev flannel.1 parent 1:1 blackhole",
    says: "queue-blackhole",
    names: "flannel.1",
  },
  {
    when: "it is asked for the broadcast address of the own subnet",
    to: "10.244.1.255",
    says: "broadcast-address",
    names: "cni0",
  },
  {
    when: "it is asked for the broadcast address of the other host's subnet",
    to: "10.244.2.255",
    says: "broadcast-address",
    names: "10.244.2.0/24",
  },
  {
    when: "it is asked for the broadcast address of the underlay",
    to: "192.0.2.255",
    says: "broadcast-address",
    names: "eth0",
  },
];

for (const { when, made, madeInPod, to = REMOTE, from, registry, says, names } of SITUATIONS) {
  Deno.test(`explain finds what becomes of a frame when ${when}`, async () => {
    using libc = new Libc();
    await using pair = await ExplainPair.create(libc);
    await pair.host.sh(
      "ip link add pod9 type veth peer name pod9-p; ip link set pod9 master cni0 up; ip link set pod9-p up",
    );
    for (const [netns, lines] of [[pair.pod, madeInPod], [pair.host.netns, made]] as const) {
      if (lines === undefined) continue;
      const { code, stderr } = await netns.run("sh", "-ec", lines);
      assertEquals(code, 0, stderr);
    }
    const explanation = pair.host.explain(to, {
      ...from !== undefined && { from },
      ...registry !== undefined && { registry },
    });
    const lines = explanationLines(explanation);
    assertEquals(verdictOf(explanation), says, lines.join("\n"));
    const cause = causeOf(explanation);
    if (names !== undefined) assert(`${cause?.text} ${cause?.remedy}`.includes(names), lines.join("\n"));
  });
}

Deno.test("explain says of a queue that is told to lose packets that it may", () => {
  const [link, ...others] = judgeTraffic([{ link: "eth0", where: "root", kinds: ["netem"] }]);
  assertEquals(others, []);
  assertEquals([link!.state, link!.code, link!.remedy], ["note", "queue-lossy", "tc qdisc show dev eth0"]);
});

Deno.test("explain tells an MTU that a router has told of from one that a route has", async () => {
  using libc = new Libc();
  await using pair = await ExplainPair.create(libc);
  const far =
    `ip link add far0 type veth peer name far0-p; ip link set far0 mtu 1300 up; ip link set far0-p up
    ip address add 198.51.100.1/24 dev far0`;
  assertEquals((await pair.other.run("sh", "-ec", far)).code, 0);
  await pair.host.sh("ip route add 198.51.100.0/24 via 192.0.2.2");
  await pair.host.netns.run("ping", "-M", "do", "-s", "1400", "-c", "1", "-W", "1", "198.51.100.9");
  const lines = explanationLines(pair.host.explain("198.51.100.9"));
  const mtu = lines.find((line) => line.startsWith("note  mtu"));
  assert(
    mtu?.includes("a router has told that 1300 bytes get through, and 1430 are needed"),
    lines.join("\n"),
  );
  assert(lines[0]!.startsWith("OK: "), lines[0]);
  // It is about that address alone.
  const other = explanationLines(pair.host.explain("198.51.100.8"));
  assert(other.some((line) => line.startsWith("ok    mtu")), other.join("\n"));
});
