import type { FamilyNetwork } from "../config/subnets.ts";
import type { Options } from "../config/options.ts";
import { type Log, SILENT } from "../log/log.ts";
import type { ChangeList } from "../model/host_plan.ts";
import { type LegacyDeps, LegacyIptables } from "../firewall/legacy_iptables.ts";
import { RuleNews } from "../firewall/rule_news.ts";
import { openRuleWatch } from "../firewall/rule_watch.ts";
import type { IncomingVxlan, RuleWishes } from "../firewall/rules.ts";
import { TrafficRules } from "../firewall/traffic_rules.ts";
import { familyOf, formatAddress, formatPrefix, type Prefix } from "../model/address.ts";
import type { Lease } from "../model/lease.ts";
import { DumpInterruptedError, NetlinkClient } from "../netlink/client.ts";
import { NetlinkError } from "../linux/errno.ts";
import { dumpXfrmPolicies, NETLINK_XFRM, type XfrmPolicy } from "../rtnetlink/xfrm_policy.ts";
import type { Libc } from "../linux/libc.ts";
import { legacyTableNames, readLegacyFilter } from "../linux/legacy_tables.ts";
import { NFNLGRP_NFTABLES } from "../nftables/objects.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../netlink/socket.ts";
import { NotificationSocket } from "../netlink/notifications.ts";
import { errorText } from "../log/error_text.ts";
import { findProgram, mayRunPrograms, runProgram } from "../linux/program.ts";
import { ForwardKeeper } from "./forward_keeper.ts";
import type { ForwardScene } from "./forward_scene.ts";
import { RulesKeeper } from "./rules_keeper.ts";

/** Pods wait so long for the first look at the rules: a program of legacy iptables may hang. */
const PATIENCE_MS = 10_000;

/** What the rules are made of. */
export interface RuleSources {
  readonly options: Options;
  readonly config: {
    readonly families: readonly FamilyNetwork[];
    readonly masqueradeExclude: readonly Prefix[];
  };
  /** Networks that this agent had before: their rules go when the new ones stand. */
  readonly former?: {
    readonly former: readonly Prefix[];
    /** Told once they have gone, and later. */
    readonly rulesKept: () => void;
  };
  readonly own: () => Lease | undefined;
  /** Told once the rules were looked at for the first time, whatever came of it. */
  readonly made?: () => void;
  /** What other hosts send to this one's VTEPs, if one does; none do if absent. */
  readonly incoming?: () => IncomingVxlan | undefined;
  /** Who sends to whom through this host; nobody knows if absent. */
  readonly forwarded?: () => ForwardScene | undefined;
  readonly libc: Libc;
  readonly log: Log;
}

/** The rules' keeper, and the loops that it lives by. */
export interface OpenRules {
  readonly keeper: RulesKeeper;
  /** Whether the rules were looked at, whatever came of it, or that has taken so long that nobody is to wait for it. */
  readonly areMade: () => boolean;
  readonly keep: (options: { signal: AbortSignal }) => Promise<void>;
  /** Hears of others' changes; absent where the kernel has no nf_tables. */
  readonly watch: ((options: { signal: AbortSignal }) => Promise<void>) | undefined;
  /** Knows what rules refuse of what is forwarded; absent where the kernel has no nf_tables. */
  readonly forward: ForwardKeeper | undefined;
  /** Says what a look would change now, in `list`, and in what it answers what it could not look at. */
  readonly plan: (list: ChangeList) => Promise<readonly string[]>;
}

/** Opens what the rules of the packet filter are kept with. A kernel without nf_tables is told in the report. */
export function openRules(stack: AsyncDisposableStack, sources: RuleSources): OpenRules {
  const { options, libc, log } = sources;
  const elapsedMs = () => performance.now();
  const legacy = legacyIptables(libc, log);
  const socket = openOrReason(() => stack.use(NetlinkSocket.open(libc, { protocol: NETLINK_NETFILTER })));
  const { opened: notifications } = openOrReason(() =>
    stack.use(NotificationSocket.open(libc, { protocol: NETLINK_NETFILTER, groups: [NFNLGRP_NFTABLES] }))
  );
  const news = notifications && new RuleNews(elapsedMs);
  const client = socket.opened && new NetlinkClient(socket.opened);
  const rules = client && new TrafficRules(client, { log, news });
  const scene = sources.forwarded;
  const policies = scene === undefined ? () => [] : policyReader(stack, libc);
  const read = (): void => keeper.nudge();
  const forward: ForwardKeeper | undefined = client && scene &&
    new ForwardKeeper({ client, news, policies, scene, read, elapsedMs });
  const wishes = wishesOf(sources);
  const refused = { changed: 0, failures: [socket.reason ?? ""], warnings: [], effective: [], met: [] };
  let isMade = false;
  const keeper = new RulesKeeper({
    keep: (wishes, spared) => rules?.keep(wishes, spared) ?? refused,
    keepLegacy: (wishes) => legacy.keep(wishes),
    wishes,
    kept: () => sources.former?.rulesKept(),
    looked: () => {
      forward?.nudge();
      if (!isMade) sources.made?.();
      isMade = true;
    },
    isForwardKnown: () => forward?.isCertain ?? false,
    changedBy: () => news?.lastBy?.program || undefined,
    elapsedMs,
  });
  const nudge = () => keeper.nudge();
  const awaitedUntilMs = elapsedMs() + PATIENCE_MS;
  return {
    keeper,
    areMade: () => isMade || elapsedMs() >= awaitedUntilMs,
    keep: ({ signal }) => keeper.run({ resyncMs: options.rulesResyncMs, signal }),
    watch: notifications && news && socket.opened &&
      openRuleWatch({ notifications, ownPortId: socket.opened.portId, news, nudge }),
    forward,
    plan: (list) => planRules(wishes(), { rules, reason: socket.reason, libc, list }),
  };
}

/** Says what a look at nf_tables and at legacy iptables would change now; answers with what can't be looked at. */
export async function planRules(
  wishes: RuleWishes | undefined,
  { rules, reason, libc, list }: {
    readonly rules: TrafficRules | undefined;
    /** Why there are none. */
    readonly reason: string | undefined;
    readonly libc: Libc;
    readonly list: ChangeList;
  },
): Promise<readonly string[]> {
  if (wishes === undefined) return ["it is not known which subnets this host has"];
  // Few ask for a plan.
  const { listRules } = await import("../firewall/plan_words.ts");
  const { dryRestore } = await import("../firewall/legacy_words.ts");
  const unseen: string[] = [];
  if (rules === undefined) unseen.push(reason ?? "the kernel has no nf_tables");
  else {
    const { plans, set } = rules.plan(wishes);
    listRules(plans, set, list);
  }
  const { failures } = await legacyIptables(libc, SILENT, dryRestore(runProgram, list)).keep(wishes);
  return [...unseen, ...failures];
}

/** Legacy iptables of this host. */
export function legacyIptables(libc: Libc, log: Log, run: LegacyDeps["run"] = runProgram): LegacyIptables {
  return new LegacyIptables({
    tables: (family) => legacyTableNames(libc, family),
    filter: (family) => readLegacyFilter(libc, family),
    find: findProgram,
    mayRun: mayRunPrograms,
    run,
    elapsedMs: () => performance.now(),
    log,
  });
}

/** Reads IPsec's policies; none where the kernel has none, or does not tell them. */
function policyReader(stack: AsyncDisposableStack, libc: Libc): () => readonly XfrmPolicy[] {
  const { opened } = openOrReason(() => stack.use(NetlinkSocket.open(libc, { protocol: NETLINK_XFRM })));
  const client = opened && new NetlinkClient(opened);
  return () => {
    try {
      return client === undefined ? [] : dumpXfrmPolicies(client);
    } catch (error) {
      if (!(error instanceof NetlinkError || error instanceof DumpInterruptedError)) throw error;
      return [];
    }
  };
}

function openOrReason<T>(open: () => T): { opened?: T; reason?: string } {
  try {
    return { opened: open() };
  } catch (error) {
    return { reason: errorText(error) };
  }
}

/** What is wished now: the same object while the own subnets, and what is to get in, are the same. */
export function wishesOf(
  { options, config, own, former, incoming }: Pick<
    RuleSources,
    "options" | "config" | "own" | "former" | "incoming"
  >,
): () => RuleWishes | undefined {
  let last: { readonly key: string; readonly wishes: RuleWishes } | undefined;
  return () => {
    const lease = own();
    if (lease === undefined) return undefined;
    const vxlan = incoming?.();
    const key = [
      ...lease.parts.map(({ subnet }) => formatPrefix(subnet)),
      ...vxlan === undefined ? [] : [vxlan.port, vxlan.inputLink, ...vxlan.addresses.map(formatAddress)],
    ].join(" ");
    if (last?.key === key) return last.wishes;
    const families = config.families.flatMap(({ network, family }) => {
      const part = lease.parts.find(({ subnet }) => familyOf(subnet.address) === family);
      return part === undefined ? [] : [{ network, subnet: part.subnet }];
    });
    // A family without a subnet has no rules: its network is like one of before.
    const unused = config.families.map(({ network }) => network)
      .filter((network) => !families.some((half) => half.network === network));
    const wishes = {
      families,
      isMasquerading: options.masquerade,
      isFullyRandom: options.isFullyRandom,
      isForwarding: options.forwardRules,
      excluded: config.masqueradeExclude,
      ...vxlan !== undefined && { incoming: vxlan },
      former: [...former?.former ?? [], ...unused],
    };
    last = { key, wishes };
    return wishes;
  };
}
