import type { ForwardGroup, ForwardSweep, Refused } from "../firewall/forward_sweep.ts";
import type { LazyBook } from "../firewall/lazy_book.ts";
import type { RuleNews } from "../firewall/rule_news.ts";
import { observeRules, type RuleSet } from "../firewall/rule_set.ts";
import { NetlinkError } from "../linux/errno.ts";
import { Trigger } from "../loop/trigger.ts";
import { inTurns } from "../loop/worker.ts";
import { type Family, familyOf, formatPrefix } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import { DumpInterruptedError, type NetlinkClient } from "../netlink/client.ts";
import { readGeneration } from "../nftables/dump.ts";
import { HOOK, POLICY } from "../nftables/objects.ts";
import type { XfrmPolicy } from "../rtnetlink/xfrm_policy.ts";
import type { ForwardScene } from "./forward_scene.ts";
import { SECOND_LOOK_MS } from "./truth_findings.ts";

/** A look at whether anything has changed that was not heard of, as elements of sets and IPsec's policies. */
const REST_MS = 4000;
/** The same while something is refused. */
const BAD_MS = 2000;
/** What one turn may take. */
const TURN_MS = 10;
/** Packets that are played until the next period: where rules ask for what is not known, each peer is a question. */
const MOST_PLAYS = 1024;
/** Between turns, however many nudges come. */
const PAUSE_MS = 20;
/** Chains that were too large are tried again after this long. */
const LARGE_MS = 60_000;
/** `NFPROTO_NETDEV` and `NFPROTO_BRIDGE`: what frames meet, whatever the hook. */
const FRAMES: ReadonlySet<number> = new Set([5, 7]);
/** `NF_INET_INGRESS`. */
const INGRESS = 5;

/** What it needs of the agent. */
export interface ForwardDeps {
  /** Over a socket of `NETLINK_NETFILTER`. */
  readonly client: NetlinkClient;
  /** What is heard of others' transactions; nothing if absent. */
  readonly news: RuleNews | undefined;
  /** IPsec's policies, which drop nothing if there are none. */
  readonly policies: () => readonly XfrmPolicy[];
  /** Who sends to whom; `undefined` while that is not known. */
  readonly scene: () => ForwardScene | undefined;
  /** Told when rules are read anew, of which others may not have heard yet. */
  readonly read: () => void;
  readonly elapsedMs: () => number;
}

/** What a look is for: it is not taken again while that is the same. */
interface Subject {
  readonly scene: ForwardScene;
  readonly generation: number;
  /** None where none blocks. */
  readonly policies: readonly XfrmPolicy[];
}

/** One look: what is played, and what it was begun for. */
interface Look extends Subject {
  readonly groups: readonly ForwardGroup[];
  readonly book: LazyBook;
  readonly sweep: ForwardSweep;
}

/**
 * Knows whether rules refuse what pods of this host send to those of others, or what comes for them: such packets are
 * played through the rules after these have changed. What plays them is loaded where there is a rule that they meet.
 */
export class ForwardKeeper {
  readonly #deps: ForwardDeps;
  readonly #trigger = new Trigger();
  #look: Look | undefined;
  /** What the last look was for that came to an end. */
  #seen: Subject | undefined;
  #isOpen = false;
  /** Taken for so until the first turn. */
  #hasScene = true;
  #found = new Map<string, { readonly refused: Refused; readonly sinceMs: number; isConfirmed: boolean }>();
  #conditions: readonly Condition[] = [];
  #large = { keys: new Set<string>(), sinceMs: -Infinity };
  #plays = 0;

  constructor(deps: ForwardDeps) {
    this.#deps = deps;
  }

  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  /** Whether what rules refuse is known here, so that nobody need guess by how a chain ends. */
  get isCertain(): boolean {
    return this.#hasScene && !this.#isOpen;
  }

  /** Asks for a look: rules were looked at, or peers may be others. */
  nudge(): void {
    this.#trigger.nudge();
  }

  /** Looks until `signal` aborts. */
  run({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    return inTurns(() => this.turn(), {
      trigger: this.#trigger,
      periodMs: () => this.#waitMs,
      // It takes half a core at most.
      restMs: (tookMs) => Math.max(PAUSE_MS, tookMs),
      elapsedMs: this.#deps.elapsedMs,
    })({ signal });
  }

  get #waitMs(): number {
    if (this.#isUnderWay) return 0;
    if (this.#found.size === 0) return REST_MS;
    return [...this.#found.values()].some(({ isConfirmed }) => !isConfirmed) ? SECOND_LOOK_MS : BAD_MS;
  }

  get #isUnderWay(): boolean {
    return this.#look !== undefined && !this.#look.sweep.isDone && this.#plays < MOST_PLAYS;
  }

  /** Looks as long as a turn may take. */
  async turn(): Promise<void> {
    const scene = this.#deps.scene();
    this.#hasScene = scene !== undefined;
    if (scene === undefined) return this.#forget();
    try {
      await this.#goOn(scene);
    } catch (error) {
      // What was found last stands until the kernel answers again.
      if (!(error instanceof NetlinkError || error instanceof DumpInterruptedError)) throw error;
      this.#look = undefined;
      this.#seen = undefined;
    }
  }

  #forget(): void {
    this.#look = undefined;
    this.#seen = undefined;
    this.#found.clear();
    this.#conditions = [];
    this.#isOpen = false;
  }

  async #goOn(scene: ForwardScene): Promise<void> {
    const { client, news, elapsedMs } = this.#deps;
    const startedMs = elapsedMs();
    if (!this.#isUnderWay) {
      this.#plays = 0;
      const all = this.#deps.policies();
      const policies = all.some(({ isBlocking }) => isBlocking) ? all : [];
      const subject = { scene, generation: readGeneration(client), policies };
      const isLeft = this.#look !== undefined && isSame(this.#look, subject);
      if (!isLeft) {
        if (isSame(this.#seen, subject)) return await this.#confirm(scene, startedMs);
        this.#look = await this.#begin(subject, startedMs);
        if (this.#look === undefined) {
          this.#forget();
          this.#seen = subject;
          return;
        }
      }
    }
    const look = this.#look!;
    const { sweep, book } = look;
    while (!sweep.isDone && this.#plays < MOST_PLAYS && elapsedMs() - startedMs < TURN_MS) {
      sweep.next();
      this.#plays++;
    }
    news?.watch(book.read);
    if (this.#isUnderWay) return;
    this.#isOpen = sweep.isOpen;
    this.#note(sweep.refused, startedMs);
    if (sweep.isDone) {
      // What was read of the rules is not kept.
      this.#seen = { scene: look.scene, generation: look.generation, policies: look.policies };
      this.#look = undefined;
    }
    await this.#confirm(look.scene, startedMs, look.groups);
  }

  /** Begins a look; `undefined` where no rule can refuse what is forwarded. */
  async #begin(subject: Subject, nowMs: number): Promise<Look | undefined> {
    const { scene, generation, policies } = subject;
    const { client, news } = this.#deps;
    news?.watch(new Set());
    const set = observeRules(client, news && { news, generation });
    this.#deps.read();
    const groups = scene.groups();
    if (groups.length === 0 || !mayRefuse(set) && policies.length === 0) return undefined;
    const [{ lazyBook }, { ForwardSweep }] = await Promise.all([
      import("../firewall/lazy_book.ts"),
      import("../firewall/forward_sweep.ts"),
    ]);
    if (nowMs - this.#large.sinceMs >= LARGE_MS) this.#large = { keys: new Set(), sinceMs: nowMs };
    const book = lazyBook(client, set.awake, this.#large.keys);
    return { ...subject, groups, book, sweep: new ForwardSweep({ ...book, policies }, groups) };
  }

  #note(refused: readonly Refused[], nowMs: number): void {
    const before = this.#found;
    this.#found = new Map(refused.map((one) => {
      const key = `${one.direction} ${formatPrefix(one.subnet)}`;
      const { sinceMs = nowMs, isConfirmed = false } = before.get(key) ?? {};
      return [key, { refused: one, sinceMs, isConfirmed }];
    }));
  }

  /** Finds words for what has stood for a while. */
  async #confirm(scene: ForwardScene, nowMs: number, made?: readonly ForwardGroup[]): Promise<void> {
    const all = [...this.#found.values()];
    const fresh = all.filter(({ isConfirmed, sinceMs }) => !isConfirmed && nowMs - sinceMs >= SECOND_LOOK_MS);
    for (const one of fresh) one.isConfirmed = true;
    if (all.length === 0) this.#conditions = [];
    if (all.length === 0 || made === undefined && fresh.length === 0) return;
    const groups = made ?? scene.groups();
    const { forwardConditions } = await import("./forward_words.ts");
    const counts = new Map<Family, number>();
    for (const { own: { prefix }, subnets } of groups) {
      const family = familyOf(prefix.address);
      counts.set(family, (counts.get(family) ?? 0) + subnets.length);
    }
    const refused = all.filter(({ isConfirmed }) => isConfirmed).map((one) => one.refused);
    this.#conditions = forwardConditions({ refused, counts, hostOf: scene.hostOf });
  }
}

function isSame(a: Subject | undefined, b: Subject): boolean {
  return a !== undefined && a.generation === b.generation && a.scene.wanted === b.scene.wanted &&
    a.scene.digest === b.scene.digest && digestOf(a.policies) === digestOf(b.policies);
}

function digestOf(policies: readonly XfrmPolicy[]): string {
  return policies.map(({ source, destination, ...rest }) =>
    `${formatPrefix(source)} ${formatPrefix(destination)} ${JSON.stringify(rest)}`
  ).join();
}

/** Whether there is a rule, or a policy, that what is forwarded meets. */
function mayRefuse(set: RuleSet): boolean {
  return set.awake.some((chain) => {
    const { base, family } = chain;
    if (base === undefined) return false;
    const isMet = FRAMES.has(family) || base.hook === HOOK.forward || base.hook === HOOK.prerouting ||
      base.hook === INGRESS || base.hook === HOOK.postrouting;
    return isMet && (base.policy === POLICY.drop || set.rulesOf(chain).length > 0);
  });
}
