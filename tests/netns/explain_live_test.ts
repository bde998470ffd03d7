import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { waitUntil } from "../../src/lab/wait.ts";
import { Libc } from "../../src/linux/libc.ts";
import { ExplainPair } from "../command/explain/explain_host.ts";

/** A prepared drop. */
interface Drop {
  /** What is so. */
  readonly when: string;
  /** Lines of a shell that make it so, on the host. */
  readonly made?: string;
  readonly args?: readonly string[];
  /** Codes of the cause; empty where nothing is broken. */
  readonly says: string;
  /** The kernel's reason, for one of the packets. */
  readonly reason?: string;
  /** What the cause names: a rule, a knob. */
  readonly names?: string;
}

const TARGET = "10.244.2.5";

const DROPS: readonly Drop[] = [
  { when: "nothing drops it", says: "" },
  { when: "nothing drops it, in IPv6", args: ["fd00:10:244:2::5"], says: "" },
  { when: "nothing drops it, from this host", args: [TARGET, "--from=10.244.1.0"], says: "" },
  {
    when: "a rule of nft drops it",
    made:
      "nft add table ip f; nft add chain ip f fwd1 '{ type filter hook forward priority 0; }'; nft add rule ip f fwd1 ip daddr 10.244.2.0/24 drop",
    says: "packet-refused",
    reason: "NETFILTER_DROP",
    names: "chain fwd1 of table ip f",
  },
  {
    when: "a rule of iptables drops it",
    made: "iptables-nft -A FORWARD -i cni0 -p udp -j DROP",
    says: "packet-refused",
    reason: "NETFILTER_DROP",
    names: "chain FORWARD of table ip filter",
  },
  {
    when: "a rule drops it that can't be read",
    made:
      "nft add table ip f; nft add chain ip f fwd1 '{ type filter hook forward priority 0; }'; nft add rule ip f fwd1 meta length 100-65535 drop",
    says: "dropped-by-rule",
    reason: "NETFILTER_DROP",
    names: "chain fwd1 of table ip f",
  },
  {
    when: "a rule drops a set of addresses",
    made:
      "nft add table ip f; nft add chain ip f fwd1 '{ type filter hook forward priority 0; }'; nft add rule ip f fwd1 ip daddr { 10.244.2.5, 10.9.9.9 } drop",
    says: "packet-refused",
    reason: "NETFILTER_DROP",
    names: "ip daddr in set",
  },
  {
    when: "legacy iptables drops it",
    made: "iptables-legacy -A FORWARD -i cni0 -j DROP",
    says: "dropped-by-rule",
    reason: "NETFILTER_DROP",
    names: "iptables-legacy-save",
  },
  {
    when: "the host's own packet is dropped as it leaves",
    args: [TARGET, "--from=10.244.1.0"],
    made:
      "nft add table ip f; nft add chain ip f out '{ type filter hook output priority 0; }'; nft add rule ip f out ip daddr 10.244.2.5 drop",
    says: "packet-refused",
    reason: "NETFILTER_DROP",
    names: "chain out of table ip f",
  },
  {
    when: "its VXLAN packet is dropped",
    made:
      "nft add table ip f; nft add chain ip f out '{ type filter hook output priority 0; }'; nft add rule ip f out udp dport 8472 drop",
    says: "outer-packet-refused",
    reason: "NETFILTER_DROP",
    names: "dport 8472",
  },
  {
    when: "the bridge is strict about sources",
    made: "echo 1 >/proc/sys/net/ipv4/conf/cni0/rp_filter; ip route add 10.244.1.5 dev eth0",
    says: "rp-filter",
    reason: "IP_RPFILTER",
    names: "cni0",
  },
  {
    when: "the bridge forwards nothing",
    made: "echo 0 >/proc/sys/net/ipv4/conf/cni0/forwarding",
    says: "bridge-forwards-nothing",
    reason: "IP_INADDRERRORS",
    names: "net.ipv4.conf.cni0.forwarding",
  },
  {
    when: "a route refuses it",
    made: "ip route add unreachable 10.244.2.5",
    says: "route-refuses",
    names: "unreachable 10.244.2.5/32",
  },
  {
    when: "there is no route",
    made: "ip route delete 10.244.2.0/24; ip route delete default",
    says: "route-missing",
    reason: "IP_INNOROUTES",
    names: TARGET,
  },
  {
    when: "the FDB entry is gone",
    made: "bridge fdb delete 0e:2a:00:00:00:02 dev flannel.1",
    says: "fdb-missing",
    reason: "NO_TX_TARGET",
    names: "0e:2a:00:00:00:02",
  },
  {
    when: "the neighbour is gone",
    made: "ip neigh delete 10.244.2.0 dev flannel.1",
    says: "neighbour-missing",
    names: "10.244.2.0 on flannel.1",
  },
  {
    when: "the other host is gone",
    made: "ip neigh delete 192.0.2.2 dev eth0; ip route replace 192.0.2.2 via 192.0.2.77 dev eth0",
    says: "dropped-neighbour",
    reason: "NEIGH_FAILED",
    names: "did not answer",
  },
  {
    when: "the VTEP takes less than pods send",
    made: "ip link set flannel.1 mtu 1300",
    says: "mtu-pods",
    reason: "PKT_TOO_BIG",
    names: "flannel.1 takes 1300",
  },
  {
    when: "an IPsec policy blocks it",
    made: "ip xfrm policy add src 10.244.1.0/24 dst 10.244.2.0/24 dir fwd action block",
    says: "dropped-by-ipsec",
    reason: "XFRM_POLICY",
    names: "IPsec",
  },
  {
    when: "a queue has no room",
    made: "tc qdisc add dev flannel.1 root bfifo limit 1",
    says: "dropped-by-queue",
    names: "queue",
  },
  {
    when: "the VTEP is set protodown",
    made: "ip link set flannel.1 protodown on",
    says: "link-protodown",
    names: "flannel.1",
  },
];

for (const { when, made, args = [TARGET], says, reason, names } of DROPS) {
  Deno.test(`explain --live reads what the kernel does with a packet when ${when}`, async () => {
    using libc = new Libc();
    await using pair = await ExplainPair.create(libc);
    if (made !== undefined) await pair.host.sh(made);
    const { code, answer, text } = await pair.explain(...args, "--live");
    assertEquals(answer.live.fault, undefined, text);
    assertEquals(answer.cause?.code ?? "", says, text);
    assertEquals(code, says === "" ? 0 : 1);
    if (names !== undefined) assertStringIncludes(`${answer.cause?.text}`, names);
    const packets = answer.live.packets!;
    if (says === "") {
      assertEquals(packets.map(({ fate }) => fate), ["answered", "answered", "answered"], text);
    }
    if (reason !== undefined) assert(packets.some((packet) => packet.reason === reason), text);
    const isFromHost = args.some((arg) => arg.startsWith("--from"));
    assertEquals(answer.live.from === "host", isFromHost, text);
  });
}

const NO_ANSWERS: readonly [how: string, target: string, made: string][] = [
  [
    "the bridge",
    TARGET,
    "nft add table bridge b; nft add chain bridge b i '{ type filter hook input priority 0; }'; nft add rule bridge b i ether type arp drop",
  ],
  [
    "a table for ARP",
    TARGET,
    "nft add table arp a; nft add chain arp a i '{ type filter hook input priority 0; policy drop; }'",
  ],
  [
    "a rule for ICMPv6",
    "fd00:10:244:2::5",
    "ip6tables -A INPUT -p icmpv6 --icmpv6-type neighbor-solicitation -j DROP",
  ],
];

for (const [how, target, made] of NO_ANSWERS) {
  Deno.test(`explain says that a pod has no answer where ${how} drops its question for the gateway`, async () => {
    using libc = new Libc();
    await using pair = await ExplainPair.create(libc);
    const { code: cleared } = await pair.pod.run("sh", "-ec", "ip neigh flush dev eth0 nud all");
    assertEquals(cleared, 0);
    await pair.host.sh(made);
    // What others send meanwhile is as large, and takes other ways.
    const others = pair.host.netns.run(
      "timeout",
      "8",
      "ping",
      "-q",
      "-i",
      "0.02",
      "-s",
      "1402",
      "10.244.2.0",
    );
    const live = await pair.explain(target, "--live");
    await others;
    assertEquals([live.code, live.answer.cause?.code], [1, "pod-gateway-unanswered"], live.text);
    assert(live.answer.live.packets!.every(({ links }) => (links ?? []).length === 0), live.text);
    // The pod knows it, and who only reads says so as a note: until the kernel collects the entry that failed, so that
    // the pod asks anew for each look.
    let seen = "";
    await waitUntil(
      "read that the pod has no answer",
      async () => {
        await pair.pod.run("ping", "-c", "1", "-W", "1", target);
        const { code, text } = await pair.explain(target);
        assertEquals(code, 0, text);
        seen = text;
        return text.includes("pod-gateway-unanswered") || undefined;
      },
      { deadlineMs: 30_000, signal: new AbortController().signal },
      () => seen,
    );
  });
}

Deno.test("explain finds that a pod has another's MAC for its gateway for good", async () => {
  using libc = new Libc();
  await using pair = await ExplainPair.create(libc);
  const { code: made } = await pair.pod.run(
    "sh",
    "-ec",
    "ip neigh replace 10.244.1.1 dev eth0 lladdr 02:00:00:00:09:09 nud permanent",
  );
  assertEquals(made, 0);
  const { code, answer, text } = await pair.explain(TARGET);
  assertEquals([code, answer.cause?.code], [1, "pod-gateway-elsewhere"], text);
});

const DROP_ALL =
  "nft add table ip f; nft add chain ip f c '{ type filter hook prerouting priority 0; policy drop; }'";

Deno.test("explain --live does not blame this host for what another on the same machine drops", async () => {
  using libc = new Libc();
  await using pair = await ExplainPair.create(libc);
  // A rule of this host that may drop it is not the one that does.
  await pair.host.sh(
    "nft add table ip g; nft add chain ip g f '{ type filter hook forward priority 0; }'; nft add rule ip g f meta length 9999 drop",
  );
  assertEquals((await pair.other.run("sh", "-ec", DROP_ALL)).code, 0);
  const { code, answer, text } = await pair.explain(TARGET, "--live");
  assertEquals([code, answer.broken], [0, false], text);
  const packets = answer.live.packets!;
  assert(packets.every(({ fate, side }) => fate === "gone" || side === "behind"), text);
});

Deno.test("explain --live says that it is the pod that drops a packet", async () => {
  using libc = new Libc();
  await using pair = await ExplainPair.create(libc);
  assertEquals((await pair.pod.run("sh", "-ec", DROP_ALL)).code, 0);
  const { code, answer, text } = await pair.explain("10.244.1.5", "--live");
  assertEquals([code, answer.cause?.code], [1, "dropped-by-rule"], text);
  assertStringIncludes(answer.cause!.text, "behind the last link of this host");
});

Deno.test("explain --live sends from a pod whose port has no master, and blames no route", async () => {
  using libc = new Libc();
  await using pair = await ExplainPair.create(libc);
  await pair.host.sh("ip link set pod0 nomaster");
  const { code, answer, text } = await pair.explain(TARGET, "--from=10.244.1.5", "--live");
  assertEquals([code, answer.cause?.code], [1, "port-detached"], text);
  assertEquals(answer.live.from, "10.244.1.5", text);
  // Without one that is named no pod is found, and nothing is sent from an address that is not there.
  const unnamed = await pair.explain(TARGET, "--live");
  assertEquals(unnamed.answer.live.from, "host", unnamed.text);
  assertEquals(unnamed.code, 0, unnamed.text);
});

Deno.test("explain --live says in one line that it may not, and tells what it has read all the same", async () => {
  using libc = new Libc();
  await using pair = await ExplainPair.create(libc);
  const { code, answer, text } = await pair.explain(
    { before: ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"] },
    TARGET,
    "--live",
  );
  assertStringIncludes(`${answer.live.fault}`, "CAP_SYS_ADMIN", text);
  assertEquals(code, 0, text);
});

Deno.test("explain --live leaves no trace instance behind, and removes that of one that was killed", async () => {
  using libc = new Libc();
  await using pair = await ExplainPair.create(libc);
  const inTracing = (lines: string) =>
    pair.host.sh(
      `mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; cd /sys/kernel/tracing/instances; ${lines}`,
    );
  const pidFile = `${pair.folder}/pid`;
  const killing = `echo $$ >${pidFile}; mount -t tracefs tracefs /sys/kernel/tracing
    (until ls /sys/kernel/tracing/instances | grep -q "^loden-$$-" || ! kill -0 $$; do :; done; kill -KILL $$) &
    exec "$@"`;
  await pair.explain({ before: ["sh", "-c", killing, "sh"] }, TARGET, "--live=60s").catch(() => {});
  const id = (await Deno.readTextFile(pidFile)).trim();
  const left = `loden-${id}-left`;
  await inTracing(`mkdir ${left}`);
  const { code, text } = await pair.explain(TARGET, "--live");
  assertEquals(code, 0, text);
  // Others that run meanwhile have theirs.
  assertEquals(await inTracing(`ls | grep '^loden-${id}-' || true`), "");
});

Deno.test("explain --live=DURATION counts what else the kernel drops meanwhile", async () => {
  using libc = new Libc();
  await using pair = await ExplainPair.create(libc);
  // The other host sends VXLAN with a VNI that nobody here has.
  const { code } = await pair.other.run(
    "sh",
    "-ec",
    `ip link add vx9 type vxlan id 9 dstport 8472 local 192.0.2.2 remote 192.0.2.1 dev eth0
     ip address add 10.99.0.1/24 dev vx9; ip link set vx9 up
     ip neigh add 10.99.0.2 dev vx9 lladdr 02:00:00:00:00:99`,
  );
  assertEquals(code, 0);
  const pings = pair.other.run("timeout", "6", "ping", "-i", "0.2", "10.99.0.2");
  const { text } = await pair.explain(TARGET, "--live=2s");
  await pings;
  const { live } = JSON.parse(text) as { live: { heard: Record<string, number> } };
  const name = Object.keys(live.heard).find((key) => key.startsWith("VXLAN_VNI_NOT_FOUND"));
  assert(name !== undefined && live.heard[name]! >= 3, text);
});

Deno.test("several that explain at once with --live do not take each other's traces", async () => {
  using libc = new Libc();
  await using pair = await ExplainPair.create(libc);
  const answers = await Promise.all(Array.from({ length: 4 }, () => pair.explain(TARGET, "--live")));
  assertEquals(answers.map(({ answer }) => answer.live.fault), Array(4).fill(undefined));
});
