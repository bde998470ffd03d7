import { assert, assertEquals } from "@std/assert";
import { compiledBinary } from "../../../.ci/binary.ts";
import { causeOf, type Explanation, explanationOf } from "../../../src/command/explain/explanation.ts";
import type { RegistryWord } from "../../../src/command/explain/facts.ts";
import { judgeChain } from "../../../src/command/explain/judge.ts";
import { readFacts } from "../../../src/command/explain/read_facts.ts";
import type { Libc } from "../../../src/linux/libc.ts";
import { parseAddress } from "../../../src/model/address.ts";
import { readSubnetEnv } from "../../../src/pods/subnet_env.ts";
import type { LeaseOf } from "../../../src/status/lease_of.ts";
import { TestNetns } from "../../double/netns.ts";

/** What makes a host of the overlay, by hand: VXLAN, one pod, another host at 192.0.2.2. */
const VXLAN = `
  ip link add eth0 type veth peer name eth0-p
  ip link set eth0-p addrgenmode none up
  ip link set eth0 up
  ip address add 192.0.2.1/24 dev eth0
  ip -6 address add 2001:db8::1/64 dev eth0 nodad
  ip route add default via 192.0.2.254
  ip neigh add 192.0.2.254 dev eth0 lladdr 02:00:00:00:00:fe
  ip neigh add 192.0.2.2 dev eth0 lladdr 02:00:00:00:00:02
  ip -6 neigh add 2001:db8::2 dev eth0 lladdr 02:00:00:00:00:02
  echo 1 >/proc/sys/net/ipv4/ip_forward
  echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
  ip link add flannel.1 type vxlan id 1 dstport 8472 local 192.0.2.1 dev eth0 nolearning
  ip link set flannel.1 mtu 1450 address 0e:2a:00:00:00:01 up
  ip address add 10.244.1.0/32 dev flannel.1
  ip link add flannel-v6.1 type vxlan id 1 dstport 8472 local 2001:db8::1 dev eth0 nolearning
  ip link set flannel-v6.1 mtu 1430 address 0e:2a:00:00:06:01 up
  ip address add fd00:10:244:1::/128 dev flannel-v6.1 nodad
  ip link add cni0 type bridge
  ip link set cni0 mtu 1430 address 02:00:00:00:01:01 up
  ip address add 10.244.1.1/24 dev cni0
  ip -6 address add fd00:10:244:1::1/64 dev cni0 nodad
  ip link add pod0 type veth peer name pod0-p
  ip link set pod0 master cni0 up
  ip link set pod0-p addrgenmode none up
  ip route add 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink proto 76 metric 2
  ip neigh add 10.244.2.0 dev flannel.1 lladdr 0e:2a:00:00:00:02 nud permanent
  bridge fdb append 0e:2a:00:00:00:02 dev flannel.1 dst 192.0.2.2
  ip -6 route add fd00:10:244:2::/64 via fd00:10:244:2:: dev flannel-v6.1 onlink proto 76
  ip -6 neigh add fd00:10:244:2:: dev flannel-v6.1 lladdr 0e:2a:00:00:06:02 nud permanent
  bridge fdb append 0e:2a:00:00:06:02 dev flannel-v6.1 dst 2001:db8::2`;

const ENV = `FLANNEL_NETWORK=10.244.0.0/16
FLANNEL_SUBNET=10.244.1.1/24
FLANNEL_IPV6_NETWORK=fd00:10:244::/48
FLANNEL_IPV6_SUBNET=fd00:10:244:1::1/64
FLANNEL_MTU=1430
FLANNEL_IPMASQ=true
FLANNEL_BACKEND=vxlan
`;

const H2: LeaseOf = {
  host: "h2",
  isOwn: false,
  what: "subnet",
  subnet: "10.244.2.0/24",
  underlayAddress: "192.0.2.2",
  backendType: "vxlan",
  mac: "0e:2a:00:00:00:02",
  leftOut: null,
  probes: null,
};

const H2_IPV6: LeaseOf = {
  ...H2,
  subnet: "fd00:10:244:2::/64",
  underlayAddress: "2001:db8::2",
  mac: "0e:2a:00:00:06:02",
};

/** What the registry says of an address of the prepared host's overlay. */
export function registrySays(address: string, changes: Partial<LeaseOf> = {}): RegistryWord {
  const said = (lease: LeaseOf): RegistryWord => ({ kind: "said", lease: { ...lease, ...changes } });
  if (address.startsWith("10.244.2.")) return said(H2);
  if (address.startsWith("fd00:10:244:2:")) return said(H2_IPV6);
  if (address === "192.0.2.2") return said({ ...H2, what: "underlay" });
  if (address.startsWith("10.244.1.")) {
    return said({ ...H2, host: "h1", isOwn: true, subnet: "10.244.1.0/24", underlayAddress: "192.0.2.1" });
  }
  return { kind: "said", lease: undefined };
}

/** A host of an overlay that no agent keeps, so that it stays as it was spoilt. */
export class ExplainHost implements AsyncDisposable {
  private constructor(readonly netns: TestNetns, readonly libc: Libc) {}

  static async create(libc: Libc): Promise<ExplainHost> {
    const netns = await TestNetns.create();
    const host = new ExplainHost(netns, libc);
    try {
      await host.sh(VXLAN);
    } catch (error) {
      await netns[Symbol.asyncDispose]();
      throw error;
    }
    return host;
  }

  /** Runs lines of a shell in the host's namespace. */
  async sh(lines: string): Promise<string> {
    const { code, stdout, stderr } = await this.netns.run("sh", "-ec", lines);
    assertEquals(code, 0, stderr);
    return stdout;
  }

  explain(
    target: string,
    options: { readonly from?: string; readonly registry?: RegistryWord; readonly env?: string } = {},
  ): Explanation {
    const { from, registry = registrySays(target), env = ENV } = options;
    const facts = this.libc.inNetns(this.netns.path, () =>
      readFacts(this.libc, {
        target: parseAddress(target),
        from: from === undefined ? undefined : parseAddress(from),
        subnetFilePath: "/nowhere/subnet.env",
        env: env === "" ? undefined : readSubnetEnv(env, "subnet.env"),
        registry,
      }));
    return explanationOf(facts, judgeChain(facts), undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.netns[Symbol.asyncDispose]();
  }
}

/** The other host, h2, with a pod's address; and a pod on the first one. */
const OTHER = `
  ip link set eth0-p name eth0
  ip link set eth0 address 02:00:00:00:00:02 up
  ip address add 192.0.2.2/24 dev eth0
  ip -6 address add 2001:db8::2/64 dev eth0 nodad
  echo 1 >/proc/sys/net/ipv4/ip_forward
  ip link add flannel.1 type vxlan id 1 dstport 8472 local 192.0.2.2 dev eth0 nolearning
  ip link set flannel.1 mtu 1450 address 0e:2a:00:00:00:02 up
  ip address add 10.244.2.0/32 dev flannel.1
  ip address add 10.244.2.5/32 dev lo
  ip route add 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink
  ip neigh add 10.244.1.0 dev flannel.1 lladdr 0e:2a:00:00:00:01 nud permanent
  bridge fdb append 0e:2a:00:00:00:01 dev flannel.1 dst 192.0.2.1
  ip link add flannel-v6.1 type vxlan id 1 dstport 8472 local 2001:db8::2 dev eth0 nolearning
  ip link set flannel-v6.1 mtu 1430 address 0e:2a:00:00:06:02 up
  ip -6 address add fd00:10:244:2::/128 dev flannel-v6.1 nodad
  ip -6 address add fd00:10:244:2::5/128 dev lo nodad
  ip -6 route add fd00:10:244:1::/64 via fd00:10:244:1:: dev flannel-v6.1 onlink
  ip -6 neigh add fd00:10:244:1:: dev flannel-v6.1 lladdr 0e:2a:00:00:06:01 nud permanent
  bridge fdb append 0e:2a:00:00:06:01 dev flannel-v6.1 dst 2001:db8::1`;
const POD = `
  ip link set pod0-p name eth0
  ip link set eth0 up
  ip address add 10.244.1.5/24 dev eth0
  ip -6 address add fd00:10:244:1::5/64 dev eth0 nodad
  ip neigh add 10.244.1.1 dev eth0 lladdr 02:00:00:00:01:01
  ip route add default via 10.244.1.1
  ip -6 route add default via fd00:10:244:1::1`;

/** What {@linkcode ExplainPair.explain} prints, as far as tests read it. */
export interface LiveAnswer {
  readonly broken: boolean;
  readonly cause: { readonly code: string; readonly text: string; readonly remedy: string | null } | null;
  readonly live: {
    readonly fault?: string;
    readonly from?: string;
    readonly packets?: readonly {
      readonly fate: string;
      readonly reason?: string;
      readonly place?: string;
      readonly links?: readonly string[];
      readonly certain?: boolean;
      readonly side?: string;
    }[];
  };
}

/** Two hosts that reach each other, and a pod on each; no agents. */
export class ExplainPair implements AsyncDisposable {
  private constructor(
    readonly host: ExplainHost,
    readonly other: TestNetns,
    readonly pod: TestNetns,
    readonly folder: string,
    readonly stack: AsyncDisposableStack,
  ) {}

  static async create(libc: Libc): Promise<ExplainPair> {
    await using stack = new AsyncDisposableStack();
    const host = stack.use(await ExplainHost.create(libc));
    const [other, pod] = [stack.use(await TestNetns.create()), stack.use(await TestNetns.create())];
    const folder = await Deno.makeTempDir({ prefix: "lodentest-explain-" });
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    await host.netns.ip("link", "set", "eth0-p", "netns", other.name);
    await host.netns.ip("link", "set", "pod0-p", "netns", pod.name);
    for (const [netns, lines] of [[other, OTHER], [pod, POD]] as const) {
      const { code, stderr } = await netns.run("sh", "-ec", lines);
      assertEquals(code, 0, stderr);
    }
    await Deno.writeTextFile(`${folder}/subnet.env`, ENV);
    return new ExplainPair(host, other, pod, folder, stack.move());
  }

  /** Runs the program on the first host, by way of another one where that is named. */
  async explain(
    ...words: readonly (string | { readonly before: readonly string[] })[]
  ): Promise<{ readonly code: number; readonly answer: LiveAnswer; readonly text: string }> {
    const before = words.flatMap((word) => typeof word === "string" ? [] : word.before);
    const args = words.filter((word) => typeof word === "string");
    const [program, ...rest] = [
      ...before,
      await compiledBinary(),
      "explain",
      `--subnet-file=${this.folder}/subnet.env`,
      "--json",
      ...args,
    ];
    const { code, stdout, stderr } = await this.host.netns.run(program!, ...rest);
    assert(stdout !== "", stderr);
    return { code, answer: JSON.parse(stdout), text: stdout };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack.disposeAsync();
  }
}

/** The code of what breaks the chain, or `ok` with those of the notes. */
export function verdictOf(explanation: Explanation): string {
  const cause = causeOf(explanation);
  if (cause !== undefined) return cause.code;
  return ["ok", ...explanation.links.filter(({ state }) => state === "note").map(({ code }) => code)].join(
    " ",
  );
}
