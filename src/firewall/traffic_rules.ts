import { errorText } from "../log/error_text.ts";
import { type Log, SILENT } from "../log/log.ts";
import { type Family, familyOf, formatPrefix } from "../model/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { EINTR, ERESTART, isErrno } from "../linux/errno.ts";
import { changeRules } from "../nftables/objects.ts";
import { readGeneration } from "../nftables/dump.ts";
import { dormantWarnings, forwardWarnings, plansOf, type RulePlan } from "./plan.ts";
import { refusedBefore } from "./before_ours.ts";
import { incomingDropped } from "./incoming.ts";
import { observeRules, type RuleSet } from "./rule_set.ts";
import type { RuleNews } from "./rule_news.ts";
import { nothingWished, type RuleKind, type RuleWishes } from "./rules.ts";

/** Looks at rules that change while they are looked at, before it is left to the next time. */
const ATTEMPTS = 5;
const NAMES: Readonly<Record<Family, string>> = { 2: "IPv4", 10: "IPv6" };

/** What one look at the packet filter found and did. */
export interface RulesReport {
  /** Transactions that changed something. */
  readonly changed: number;
  /** What could not be made, one sentence each. */
  readonly failures: readonly string[];
  /** What else may swallow packets of pods, one sentence each. */
  readonly warnings: readonly string[];
  /** Chains that may refuse what is forwarded, by how they end, one sentence each; none if absent. */
  readonly doubted?: readonly string[];
  /** What keeps out all that other hosts send to this one in VXLAN, one sentence each; nothing if absent. */
  readonly dropped?: readonly string[];
  /** What holds now, in words; nothing while something could not be made. */
  readonly effective: readonly string[];
  /** What was not as wished: it was changed, unless it was spared. */
  readonly met: readonly RuleKind[];
}

/** What is left as it is for now, though it is not as wished. */
const NOTHING_SPARED: ReadonlySet<RuleKind> = new Set();

/** Keeps the packet filter as wished, with transactions of nf_tables: no program is started for it. */
export class TrafficRules {
  readonly #client: NetlinkClient;
  readonly #log: Log;
  readonly #news: RuleNews | undefined;
  #settled:
    | {
      readonly wishes: RuleWishes;
      readonly spared: string;
      readonly generation: number;
      readonly report: RulesReport;
    }
    | undefined;
  /** Former networks whose rules are gone: what comes back of them is another program's. */
  #gone: ReadonlySet<string> = new Set();

  /**
   * @param client Over a socket of `NETLINK_NETFILTER`.
   * @param deps.news What is heard of others' transactions; all is read at each look if absent.
   */
  constructor(client: NetlinkClient, deps: { readonly log: Log; readonly news?: RuleNews | undefined }) {
    this.#client = client;
    this.#log = deps.log;
    this.#news = deps.news;
  }

  /**
   * Makes the rules what they should be. Costs one question to the kernel while no rule has changed since.
   * What fails is in the report, and does not keep the rest from being done.
   *
   * @param spared What is left as it is for now, and only told of.
   */
  keep(wishes: RuleWishes, spared = NOTHING_SPARED): RulesReport {
    const settled = this.#settled;
    try {
      const generation = readGeneration(this.#client);
      if (
        settled?.wishes === wishes && settled.generation === generation &&
        settled.spared === textOfSet(spared)
      ) return settled.report;
      return this.#keep(wishes, spared, generation);
    } catch (error) {
      this.#settled = undefined;
      return { changed: 0, failures: [textOf(error)], warnings: [], effective: [], met: [] };
    }
  }

  /**
   * What a look would change now, and what is there: nothing is changed, or remembered.
   *
   * @throws {NetlinkError} If the kernel can't be asked.
   */
  plan(wishes: RuleWishes): { readonly plans: readonly RulePlan[]; readonly set: RuleSet } {
    const set = observeRules(this.#client);
    return { plans: plansOf(this.#present(wishes), set), set };
  }

  /** The wishes without former networks whose rules are gone. */
  #present(wishes: RuleWishes): RuleWishes {
    const former = wishes.former ?? [];
    return { ...wishes, former: former.filter((prefix) => !this.#gone.has(formatPrefix(prefix))) };
  }

  #keep(wishes: RuleWishes, spared: ReadonlySet<RuleKind>, first: number): RulesReport {
    const former = wishes.former ?? [];
    const present = this.#present(wishes);
    const met = new Set<RuleKind>();
    let generation = first;
    let changed = 0;
    for (let attempt = 1;; attempt++) {
      const news = this.#news;
      news?.look();
      const set = observeRules(this.#client, news && { news, generation });
      const failures: string[] = [];
      let isOvertaken = false;
      for (const plan of plansOf(present, set, spared)) {
        for (const kind of plan.met) met.add(kind);
        if (plan.changes.length === 0) continue;
        try {
          changeRules(this.#client, plan.actions.join(", "), generation, plan.changes);
          changed++;
          this.#log.write("info", "rules changed", { actions: plan.actions });
          // One further each time: what else happened meanwhile makes the next transaction fail.
          generation = generation + 1 >>> 0;
        } catch (error) {
          isOvertaken = isErrno(error, ERESTART) || isErrno(error, EINTR);
          if (isOvertaken && attempt < ATTEMPTS) break;
          failures.push(textOf(error));
        }
      }
      if (isOvertaken && attempt < ATTEMPTS) {
        generation = readGeneration(this.#client);
        continue;
      }
      const report = {
        changed,
        failures,
        warnings: dormantWarnings(wishes, set),
        doubted: forwardWarnings(wishes, set),
        dropped: wishes.incoming === undefined ? [] : incomingDropped(wishes.incoming, set),
        effective: failures.length === 0 ? effectOf(wishes, set) : [],
        met: [...met],
      };
      // A socket buffer that lost the answer must not make a refusal look like a success.
      const isSettled = failures.length === 0 && readGeneration(this.#client) === generation;
      const rest = { ...report, changed: 0, met: report.met.filter((kind) => spared.has(kind)) };
      this.#settled = isSettled ? { wishes, spared: textOfSet(spared), generation, report: rest } : undefined;
      if (isSettled && !spared.has("own")) this.#gone = new Set(former.map(formatPrefix));
      return report;
    }
  }
}

function textOfSet(kinds: ReadonlySet<RuleKind>): string {
  return [...kinds].sort().join(" ");
}

function effectOf(
  { families, isMasquerading, isForwarding, excluded }: RuleWishes,
  set: RuleSet,
): string[] {
  return families.flatMap(({ network }) => {
    const family = familyOf(network.address);
    const but = excluded.filter(({ address }) => familyOf(address) === family).map(formatPrefix);
    const except = but.length === 0 ? "" : `, but not to ${but.join(", ")}`;
    return [
      ...isMasquerading
        ? [
          `${NAMES[family]}: what pods send out of ${formatPrefix(network)} has this host's address${except}`,
        ]
        : [],
      ...isForwarding
        ? [
          `${NAMES[family]}: forwarded packets of ${formatPrefix(network)} are accepted` +
          refusedBefore(set, family),
        ]
        : [],
    ];
  });
}

function textOf(error: unknown): string {
  return errorText(error);
}

/**
 * Removes our rules, and flannel's, from a host that leaves the overlay.
 *
 * @throws {Error} If some stay, with the reasons.
 */
export function removeRules(client: NetlinkClient): void {
  const { failures } = new TrafficRules(client, { log: SILENT }).keep(nothingWished);
  if (failures.length > 0) throw new Error(failures.join("; "));
}
