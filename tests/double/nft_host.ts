import type { RuleWishes } from "../../src/firewall/rules.ts";
import { type RulesReport, TrafficRules } from "../../src/firewall/traffic_rules.ts";
import { parsePrefix } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { Libc } from "../../src/linux/libc.ts";
import { NETLINK_NETFILTER, type NetlinkTransport } from "../../src/netlink/socket.ts";
import { TestNetns } from "./netns.ts";
import { RecordedLog } from "./recorded_log.ts";

/** The cluster network and the host's subnet, as tests of rules have them. */
export const HALVES = {
  ip: { network: parsePrefix("10.244.0.0/16"), subnet: parsePrefix("10.244.1.0/24") },
  ip6: { network: parsePrefix("fd00:10:244::/56"), subnet: parsePrefix("fd00:10:244:1::/64") },
} as const;

/** All that can be wished for both families, but for what `other` says. */
export function wishes(other: Partial<RuleWishes> = {}): RuleWishes {
  return {
    families: [HALVES.ip, HALVES.ip6],
    isMasquerading: true,
    isFullyRandom: true,
    isForwarding: true,
    excluded: [],
    ...other,
  };
}

/** A private network namespace whose packet filter is kept. */
export class NftHost implements AsyncDisposable {
  readonly log = new RecordedLog();
  readonly rules: TrafficRules;
  readonly client: NetlinkClient;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    readonly netns: TestNetns,
    readonly libc: Libc,
    readonly transport: NetlinkTransport,
    resources: AsyncDisposableStack,
  ) {
    this.client = new NetlinkClient(transport);
    this.rules = new TrafficRules(this.client, { log: this.log });
    this.#resources = resources;
  }

  static async open(): Promise<NftHost> {
    await using stack = new AsyncDisposableStack();
    const netns = stack.use(await TestNetns.create());
    const libc = stack.use(new Libc());
    const transport = stack.use(netns.openTransport(libc, { protocol: NETLINK_NETFILTER }));
    return new NftHost(netns, libc, transport, stack.move());
  }

  /** Keeps the rules, which must succeed. */
  keep(wished: RuleWishes = wishes()): RulesReport {
    const report = this.rules.keep(wished);
    if (report.failures.length > 0) throw new Error(report.failures.join("; "));
    return report;
  }

  /** Runs a program in the namespace and returns what it printed; throws with its words if it fails. */
  async exec(command: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.netns.run(command, ...args);
    if (code !== 0) throw new Error(`Cannot run ${command} ${args.join(" ")}: ${stderr.trim()}`);
    return stdout;
  }

  /** Runs commands of a shell, one a line, all of which must succeed. */
  script(lines: string): Promise<string> {
    return this.exec("sh", "-ec", lines);
  }

  /** The rules as nft(8) lists them, without counters: all, or what `args` ask for. */
  list(...args: string[]): Promise<string> {
    return this.exec("nft", "-s", "list", ...(args.length > 0 ? args : ["ruleset"]));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#resources.disposeAsync();
  }
}
