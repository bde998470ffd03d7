import type { Log } from "../log/log.ts";
import { errorText } from "../log/error_text.ts";
import { FAMILIES, type Family, FAMILY_NAMES } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { PathReport, PeerAnswer } from "../model/peer_path.ts";
import { Answerer } from "./answerer.ts";
import { cutOffCondition, mayBeCutOff, pathConditions } from "./path_conditions.ts";
import { PathDoor, type PathDoorDeps } from "./path_door.ts";
import { PathLedger } from "./path_ledger.ts";
import { PathLooker, type PathLookerDeps } from "./path_looker.ts";
import type { FamilyMembers, PathMember, PathMembers } from "./path_members.ts";
import type { PathRecord } from "./path_record.ts";
import { sample, sampleSize } from "./sampler.ts";

/** The time in which a host asks its sample, and the turns that it is spread over. */
export const PERIOD_MS = 4000;
export const TURN_MS = 1000;
const TURNS = PERIOD_MS / TURN_MS;
/** Turns that were missed, as the machine was busy, are not all made up for. */
const MOST_TURNS = 2;
/** Nothing must have come in by the VTEP for so long before that counts. */
const DEAD_MS = 10_000;
/** A person waits for two questions. */
const PERSON_TIMEOUT_MS = 900;

/** Where it is told elsewhere, with its cause, that packets do not get there: probes would say it a second time. */
export interface ToldElsewhere {
  /** To no host at all. */
  readonly isAll: boolean;
  /** To these. */
  readonly hosts: Pick<ReadonlyMap<string, unknown>, "has">;
}

/** What a prober works with. */
export interface PathProberDeps
  extends Omit<PathDoorDeps, "answerer" | "port">, Pick<PathLookerDeps, "expected" | "askKernel"> {
  readonly options: { readonly mode: "auto" | "on"; readonly port: number; readonly budget: number };
  /** Who takes part now. Keeps its identity while nothing changes. */
  readonly members: () => PathMembers;
  /** What the registry knows this host by; `undefined` while it has no lease. */
  readonly own: () => string | undefined;
  /** Packets that have come in by the VTEP; `undefined` where that can't be read. */
  readonly vtepReceived: (family: Family) => number | undefined;
  /** Whether the registry can't be followed now; it can if absent. */
  readonly isRegistryAway?: () => boolean;
  /** What is told elsewhere; nothing if absent. */
  readonly told?: () => ToldElsewhere;
  /** Called when it is known, or not so any more, that what this host sends is damaged. */
  readonly damageChanged?: () => void;
  /** The time in milliseconds since 1970. */
  readonly now: () => number;
  readonly log: Log;
}

/** Asks some peers each second whether packets of full size get there and back, and answers theirs. */
export class PathProber {
  readonly #deps: PathProberDeps;
  readonly #answerer: Answerer;
  readonly #door: PathDoor;
  readonly #looker: PathLooker;
  readonly #ledger = new PathLedger();
  #lastTurn: number | undefined;
  /** What the VTEP had received when nothing seemed to come in any more, by family. */
  readonly #received = new Map<Family, { readonly count: number | undefined; readonly sinceMs: number }>();
  #wasDamaging = false;

  constructor(deps: PathProberDeps) {
    const { options: { port, budget }, members, elapsedMs } = deps;
    this.#deps = deps;
    this.#answerer = new Answerer(members, elapsedMs(), (family) => this.#door.isRefused("overlay", family));
    this.#door = new PathDoor({ ...deps, port, answerer: this.#answerer });
    this.#looker = new PathLooker({ ...deps, budget, door: this.#door, answerer: this.#answerer });
  }

  /** The port that others are to be told; `undefined` while this host does not answer. */
  get port(): number | undefined {
    return this.#door.port;
  }

  /** Opens the ports, where this host has addresses already. Before `listen()`. */
  open(): void {
    this.#door.follow();
  }

  /** Takes what comes until `signal` aborts. */
  async listen(options: { readonly signal: AbortSignal }): Promise<void> {
    await this.#door.listen(options);
  }

  /** Asks those whose turn it is; once a second. What comes of it is seen later: nobody waits here. */
  turn(): void {
    const { members, elapsedMs, poll, now } = this.#deps;
    if (this.#door.isBehind) poll.wake();
    const all = members();
    const nowMs = elapsedMs();
    this.#answerer.prune(nowMs);
    this.#ledger.prune(all);
    const current = Math.floor(now() / TURN_MS);
    const last = this.#lastTurn ?? current - 1;
    // Of a clock that was set nothing is made up for.
    const count = current > last ? Math.min(current - last, MOST_TURNS) : 1;
    this.#lastTurn = current;
    const isTold = this.#isTold();
    for (const record of this.#ledger.records) if (isTold(record.host)) record.forget();
    const families = FAMILIES.filter((family) =>
      all.families.has(family) && this.#door.has("underlay", family)
    );
    for (const family of families) {
      const ofFamily = all.families.get(family)!;
      for (let turn = current - count + 1; turn <= current; turn++) {
        for (const member of this.#chosen(ofFamily, turn, families.length)) {
          if (!isTold(member.host)) this.#start(member, (record) => this.#looker.probe(member, record));
        }
      }
      for (const member of this.#suspects(family, ofFamily, nowMs)) {
        this.#start(member, (record) => this.#looker.examine(member, record));
      }
      this.#watchReceived(family, nowMs);
    }
    this.#tellDamage();
  }

  #isTold(): (host: string) => boolean {
    const told = this.#deps.told?.();
    return (host) => told !== undefined && (told.isAll || told.hosts.has(host));
  }

  /** Whose turn it is: the sample of a period is spread over its turns. */
  #chosen({ ring, byHost }: FamilyMembers, turn: number, families: number): readonly PathMember[] {
    const own = this.#deps.own();
    if (own === undefined) return [];
    const period = Math.floor(turn / TURNS);
    const budget = this.#deps.options.budget * PERIOD_MS / 1000 / families;
    const size = sampleSize(ring.length, Math.max(budget, 1));
    return sample(ring, own, { period, size }).filter((_, at) => at % TURNS === turn % TURNS)
      .flatMap((host) => byHost.get(host) ?? []);
  }

  /** Those that were not good and are to be looked at again. */
  #suspects(family: Family, { byHost }: FamilyMembers, nowMs: number): readonly PathMember[] {
    return this.#ledger.ofFamily(family).filter(({ againMs = Infinity }) => againMs <= nowMs)
      .flatMap(({ host }) => byHost.get(host) ?? []);
  }

  /** Starts something with a path that nothing is done with yet. */
  #start(member: PathMember, action: (record: PathRecord) => Promise<void>): void {
    const record = this.#ledger.of(member);
    if (record.isBusy) return;
    record.isBusy = true;
    action(record).catch((error) => {
      this.#deps.log.write("error", "path not probed", { host: record.host, reason: errorText(error) });
    }).finally(() => {
      record.isBusy = false;
      this.#tellDamage();
    });
  }

  /** Notes what the VTEP has received, from when on nothing seems to come in. */
  #watchReceived(family: Family, nowMs: number): void {
    if (!mayBeCutOff(this.#ledger.ofFamily(family))) {
      this.#received.delete(family);
      return;
    }
    const count = this.#deps.vtepReceived(family);
    if (count === undefined || this.#received.get(family)?.count !== count) {
      this.#received.set(family, { count, sinceMs: nowMs });
    }
  }

  /** Whether packets that this host sends are damaged on their way: to two peers, or the only one that takes part. */
  get isDamaging(): boolean {
    let [damaged, good] = [0, 0];
    for (const { overlay, state } of this.#ledger.records) {
      if (overlay === undefined) continue;
      if (state === "damaged" && overlay.finding.direction !== "back") damaged++;
      else if (state === "good") good++;
    }
    return damaged >= 2 || damaged === 1 && good === 0;
  }

  #tellDamage(): void {
    const isDamaging = this.isDamaging;
    if (isDamaging === this.#wasDamaging) return;
    this.#wasDamaging = isDamaging;
    this.#deps.damageChanged?.();
  }

  /** What must be known. */
  get conditions(): readonly Condition[] {
    const nowMs = this.#deps.elapsedMs();
    const isTold = this.#isTold();
    const records = [...this.#ledger.records].filter(({ host }) => !isTold(host));
    const cutOff = Array.from(this.#deps.members().families, ([family]) => {
      const received = this.#received.get(family);
      const isInboundDead = received?.count !== undefined && nowMs - received.sinceMs >= DEAD_MS;
      const facts = { nowMs, isInboundDead, isRegistryAway: this.#deps.isRegistryAway?.() ?? false };
      return cutOffCondition(family, records.filter((record) => record.family === family), facts) ?? [];
    }).flat();
    const { fault } = this.#door;
    const taken: Condition[] = fault === undefined ? [] : [{ code: "path-port-taken", sentence: fault }];
    return [...cutOff, ...pathConditions(records), ...taken, ...this.#refused];
  }

  /** What is known of each path that was asked. */
  get records(): Iterable<PathRecord> {
    return this.#ledger.records;
  }

  /** That this host's own packet filter keeps probes from being sent. */
  get #refused(): readonly Condition[] {
    const families = FAMILIES.filter((family) => this.#door.isRefused("overlay", family));
    if (families.length === 0) return [];
    const where = families.map((family) => FAMILY_NAMES[family]).join(" and ");
    return [{
      code: "path-probes-refused",
      sentence:
        `a packet filter of this host refuses what the host itself sends over the overlay in ${where}: paths can't be ` +
        "probed; accept UDP of -path-probe-port in its output chain",
    }];
  }

  get report(): PathReport {
    const { options, members, now, elapsedMs } = this.#deps;
    const { asked, answered } = this.#door;
    const { served, refused } = this.#answerer;
    const { lost, roundTripMsSum } = this.#looker;
    const hosts = new Set([...members().families.values()].flatMap(({ byHost }) => [...byHost.keys()]));
    return {
      mode: options.mode,
      port: this.port,
      peerCount: hosts.size,
      peers: this.#ledger.show(now() - elapsedMs()),
      totals: { asked, answered, lost, served, refused, roundTripMsSum },
    };
  }

  /** Asks a peer now, through each network and in each family, for a person. */
  async askPeer(host: string): Promise<readonly PeerAnswer[]> {
    const answers = Array.from(this.#deps.members().families, async ([family, { byHost }]) => {
      const member = byHost.get(host);
      const expected = this.#deps.expected(family);
      if (member?.port === undefined || expected === undefined) return [];
      return await this.#door.askAll(member, expected.overlay ?? expected.underlay, PERSON_TIMEOUT_MS);
    });
    return (await Promise.all(answers)).flat();
  }
}
