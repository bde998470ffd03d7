import {
  describeStep,
  ENI_TABLE,
  type EniPath,
  eniPath,
  type EniPathStep,
  type EniPathWanted,
  type ObservedEniPath,
  ourRoutes,
  ourRules,
  planEniPath,
} from "../host/eni_path.ts";
import { type EniLinkState, settleEniLink } from "../host/eni_link.ts";
import { findTakers } from "../host/eni_path_takers.ts";
import { type Fight, Fights, fightText } from "../loop/fights.ts";
import { EEXIST, ENODEV, ENOENT, ESRCH, isErrno, NetlinkError } from "../linux/errno.ts";
import type { Libc } from "../linux/libc.ts";
import { errorText } from "../log/error_text.ts";
import { type Log, SILENT } from "../log/log.ts";
import {
  FAMILIES,
  type Family,
  FAMILY_NAMES,
  formatMac,
  formatPrefix,
  type Mac,
  type Prefix,
  prefixContains,
} from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { ObservedLink } from "../model/state.ts";
import { DumpInterruptedError, type NetlinkClient } from "../netlink/client.ts";
import { RTN_THROW } from "../rtnetlink/route_header.ts";
import { dumpLinks, queryLink } from "../rtnetlink/link.ts";
import { dumpRules, encodeRule, encodeRuleDeletion } from "../rtnetlink/rule.ts";
import { dumpTableRoutes, encodeTableRoute, encodeTableRouteDeletion } from "../rtnetlink/table_route.ts";

/** What the keeper works with. */
export interface EniPathDeps {
  readonly client: NetlinkClient;
  readonly libc: Libc;
  /** The cluster networks of now and of before: what another agent of this host has for its own is left alone. */
  readonly networks: readonly Prefix[];
  /** Called when the link of the network interface, which was there, is not. */
  readonly linkLost: () => void;
  /** A clock that nobody sets. */
  readonly elapsedMs: () => number;
  readonly log: Log;
}

/** What the kernel answers about something that is gone, or there already. */
const DONE: Readonly<Record<EniPathStep["action"], readonly number[]>> = {
  put: [EEXIST],
  delete: [ENOENT, ESRCH, ENODEV],
};

/**
 * Keeps what sends packets of this host's pods out by the network interface that packets for them come in by, where that
 * is not the underlay's: rules, and the routes of a table (`eniPath()`).
 */
export class EniPathKeeper {
  readonly #deps: EniPathDeps;
  readonly #used = Promise.withResolvers<void>();
  #conditions: readonly Condition[] = [];
  /** Whether nothing is wanted, and nothing was found. */
  #isClean = false;
  readonly #fights: Fights<string>;
  /** What the last look was made for, if all was as wanted at its end. */
  #settledFor: string | undefined;
  /** The link, if it lacked nothing at the end of the last look. */
  #settledLink: number | undefined;
  #mac: Mac | undefined;
  #linkIndex = 0;
  #isLinkMissing = false;

  constructor(deps: EniPathDeps) {
    this.#deps = deps;
    this.#fights = new Fights(deps.elapsedMs);
  }

  /** Milliseconds until something that was left to another program is to be put back; `undefined` where nothing is. */
  get waitMs(): number | undefined {
    return this.#fights.waitMs;
  }

  /** Whether this host has no link that is the network interface, as the last look has found. */
  get isLinkMissing(): boolean {
    return this.#isLinkMissing;
  }

  /** What must be known. */
  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  /** Resolves once there is something to keep, from when on changes of others are of interest. */
  get used(): Promise<void> {
    return this.#used.promise;
  }

  /** Whether a link is, or was, that of the network interface, or has its MAC now. */
  concerns(linkIndex: number, mac?: Mac): boolean {
    return linkIndex === this.#linkIndex || mac !== undefined && mac === this.#mac;
  }

  /**
   * Compares what is wanted with what is there, and makes it so. Never throws for what the kernel says: that becomes a
   * condition, and the next look tries again.
   *
   * @param wanted `undefined` where packets for pods come in by the underlay: then what is left of ours goes.
   */
  look(wanted: EniPathWanted | undefined): void {
    try {
      this.#conditions = wanted === undefined ? this.#cleanUp() : this.#keep(wanted);
    } catch (error) {
      if (!(error instanceof NetlinkError || error instanceof DumpInterruptedError)) throw error;
      this.#conditions = wanted === undefined ? [] : [missing(wanted, errorText(error))];
    }
  }

  /** Looks with doors that write down what is asked for; nothing is learnt by it. */
  dryRun(
    wanted: EniPathWanted | undefined,
    { client, libc }: Pick<EniPathDeps, "client" | "libc">,
  ): readonly Condition[] {
    const twin = new EniPathKeeper({ ...this.#deps, client, libc, linkLost: () => {}, log: SILENT });
    twin.look(wanted);
    return twin.conditions;
  }

  #keep(wanted: EniPathWanted): Condition[] {
    const { client } = this.#deps;
    this.#isClean = false;
    this.#mac = wanted.mac;
    this.#used.resolve();
    const known = this.#linkIndex === 0 ? undefined : queryLink(client, this.#linkIndex);
    const found = known?.mac === wanted.mac ? known : findLink(dumpLinks(client), wanted.mac);
    const wasLinkMissing = this.#isLinkMissing;
    this.#isLinkMissing = found === undefined;
    if (found === undefined) {
      if (!wasLinkMissing) this.#deps.linkLost();
      // What is there stays: the link may be back in a moment, and its routes go with it by themselves.
      return [missing(wanted, `no link of this host has its MAC ${formatMac(wanted.mac)}`)];
    }
    this.#linkIndex = found.linkIndex;
    this.#fights.look();
    const { isUp, blocking, degrading } = this.#settleLink(found, wanted);
    const path = eniPath(wanted, found.linkIndex);
    const able = isUp ? path : { ...path, routes: path.routes.filter(({ type }) => type === RTN_THROW) };
    const observed = this.#observe();
    const refused = this.#apply(this.#due(planEniPath(able, observed), able));
    if (refused.length > 0) this.#settledFor = undefined;
    // One reason is that of all, as a rule.
    const more = refused.length > 1 ? ` (and ${refused.length - 1} more)` : "";
    const failures = refused.slice(0, 1).map((reason) => `${reason}${more}`);
    failures.push(...blocking.map((clause) => `its link ${found.name} ${clause}`));
    for (const family of path.missing) {
      failures.push(`it is in no subnet with ${FAMILY_NAMES[family]}`);
    }
    const tables = new Map<string, ReturnType<typeof dumpTableRoutes>>();
    const routesOf = (family: Family, table: number) => {
      const key = `${family} ${table}`;
      const known = tables.get(key) ?? dumpTableRoutes(client, family, table);
      tables.set(key, known);
      return known;
    };
    return [
      ...failures.map((reason) => missing(wanted, reason)),
      ...this.#fights.standing.map(fightCondition),
      ...degrading.map((clause): Condition => ({
        code: "cloud-interface-unfit",
        sentence: `${found.name}, the link of the network interface ${wanted.interfaceId}, ${clause}`,
      })),
      ...findTakers(path, observed, routesOf).map((taker): Condition => ({
        code: "cloud-path-taken",
        sentence:
          `${taker} takes packets of this host's pods, which are to leave by ${found.name}: delete it`,
      })),
    ];
  }

  #settleLink(link: ObservedLink, wanted: EniPathWanted): EniLinkState {
    const isSame = this.#settledLink === link.linkIndex;
    const isLeft = (what: string) => this.#fights.meet(`${link.name} (${what})`, isSame, () => what);
    const state = settleEniLink(link, wanted, { ...this.#deps, isLeft });
    const isSettled = state.blocking.length + state.degrading.length === 0;
    this.#settledLink = isSettled ? link.linkIndex : undefined;
    return state;
  }

  /** Removes what an earlier configuration has left. */
  #cleanUp(): Condition[] {
    this.#mac = this.#settledFor = this.#settledLink = undefined;
    this.#linkIndex = 0;
    this.#isLinkMissing = false;
    if (this.#isClean) return [];
    const observed = this.#observe();
    const isOurs = ({ address }: Prefix) =>
      this.#deps.networks.some((network) => prefixContains(network, address));
    const rules = ourRules(observed.rules);
    const kept = rules.filter(({ source }) => !isOurs(source));
    // Routes that another agent's rules lead to are that one's.
    const wanted = { rules: kept, routes: kept.length === 0 ? [] : ourRoutes(observed.routes) };
    const failures = this.#apply(planEniPath(wanted, observed));
    this.#isClean = failures.length === 0;
    return failures.map((reason) => ({
      code: "cloud-path-taken",
      sentence: `what an earlier configuration made takes packets of this host's pods: ${reason}`,
    }));
  }

  /** The steps without what another program changes each time, which is left as it is for now. */
  #due(steps: readonly EniPathStep[], wanted: Pick<EniPath, "rules" | "routes">): readonly EniPathStep[] {
    const key = JSON.stringify(
      wanted,
      (_, value: unknown) => typeof value === "bigint" ? value.toString(16) : value,
    );
    const isSame = key === this.#settledFor;
    this.#settledFor = key;
    return steps.filter((step) =>
      !this.#fights.meet(
        `the ${describeStep(step)}`,
        isSame,
        () => step.action === "put" ? "deleted or changed" : "added",
      )
    );
  }

  #observe(): ObservedEniPath {
    const { client } = this.#deps;
    return {
      rules: FAMILIES.flatMap((family) => dumpRules(client, family)),
      routes: FAMILIES.flatMap((family) => dumpTableRoutes(client, family, ENI_TABLE)),
    };
  }

  /** Carries the steps out, deletions only if all else was done. Answers with what the kernel refused. */
  #apply(steps: readonly EniPathStep[]): string[] {
    const { client, log } = this.#deps;
    const failures: string[] = [];
    for (const step of steps) {
      if (step.action === "delete" && failures.length > 0) break;
      const change = `${step.action === "put" ? "add" : "delete"} ${describeStep(step)}`;
      try {
        client.request(change, (writer, sequence) => encodeStep(writer, sequence, step));
        log.write("info", "way out of pods changed", { change });
      } catch (error) {
        if (DONE[step.action].some((errno) => isErrno(error, errno))) continue;
        failures.push(errorText(error));
      }
    }
    return failures;
  }
}

function encodeStep(
  writer: Parameters<typeof encodeRule>[0],
  sequence: number,
  step: EniPathStep,
): void {
  const isPut = step.action === "put";
  if (step.kind === "rule") (isPut ? encodeRule : encodeRuleDeletion)(writer, sequence, step.rule);
  else (isPut ? encodeTableRoute : encodeTableRouteDeletion)(writer, sequence, step.route);
}

/** While all is put back at once, nothing is missing for long. */
function fightCondition(fight: Fight<string>): Condition {
  const code = fight.everySeconds === undefined ? "state-fought" : "cloud-path-missing";
  return { code, sentence: fightText({ ...fight, thing: fight.thing.replace(/ \(.*/, "") }, fight.about) };
}

/** The link with a MAC: others may rest on the network card, as VLANs do, and have its MAC too. */
function findLink(links: readonly ObservedLink[], mac: Mac): ObservedLink | undefined {
  const found = links.filter((link) => link.mac === mac);
  return found.find(({ kind }) => kind === undefined) ?? found[0];
}

function missing({ interfaceId, own }: EniPathWanted, reason: string): Condition {
  return {
    code: "cloud-path-missing",
    sentence:
      `pods of ${own.map(formatPrefix).join(" and ")} can't use the network interface ${interfaceId}, ` +
      `by which packets for them come in: ${reason}`,
  };
}
