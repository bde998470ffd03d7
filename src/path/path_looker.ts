import { type Address, type Family } from "../model/address.ts";
import type { ProbedNetwork } from "../model/peer_path.ts";
import type { Answerer } from "./answerer.ts";
import { Bucket } from "./bucket.ts";
import type { Question } from "./examine.ts";
import { type FullReply, leastBytes, type PathDoor, type PathDoorDeps } from "./path_door.ts";
import type { PathMember } from "./path_members.ts";
import type { Finding, NetworkRecord, PathRecord } from "./path_record.ts";

/** What an answer may take: of a path whose round trip is known some times of that, between these. */
const LEAST_TIMEOUT_MS = 250;
const MOST_TIMEOUT_MS = 1000;
const FIRST_TIMEOUT_MS = 600;
/** The underlay is asked that rarely while the overlay works. */
const UNDERLAY_MS = 30_000;
/** A path that is not good is looked at again after this, doubled up to the second. */
const AGAIN_MS = [2000, 15_000] as const;
/** A path that loses some is asked again after this, so often. */
const LOSSY_AGAIN_MS = 1000;
const RECOUNTED = 5;
/** A kernel without an agent is asked again after this. */
const WITHOUT_AGENT_MS = 5000;
/** What an examination costs about, and how many are made side by side. */
const EXAMINATION_PROBES = 12;
const EXAMINATIONS = 4;

/** What must get through to a peer, as IP packets, by network. */
export type ExpectedBytes = Readonly<{ overlay?: number; underlay: number }>;

/** What looking at a path needs. */
export interface PathLookerDeps extends Pick<PathDoorDeps, "places" | "elapsedMs"> {
  readonly door: PathDoor;
  readonly answerer: Answerer;
  /** Probes a second while all is well. */
  readonly budget: number;
  /** `undefined` while it is not known. */
  readonly expected: (family: Family) => ExpectedBytes | undefined;
  /** Asks a peer's kernel, by a port at which nobody listens: whether it has refused. */
  readonly askKernel: (source: Address, target: Address, network: ProbedNetwork) => Promise<boolean>;
}

/** Looks at the path to one peer: with one probe while it is well, with many once one is lost. */
export class PathLooker {
  readonly #deps: PathLookerDeps;
  readonly #extra: Bucket;
  #examinations = 0;
  #lost = 0;
  #roundTripMsSum = 0;

  constructor(deps: PathLookerDeps) {
    this.#deps = deps;
    const perSecond = deps.budget * EXAMINATIONS;
    const burst = Math.max(perSecond, EXAMINATION_PROBES * EXAMINATIONS) * 2;
    this.#extra = new Bucket({ perSecond, burst }, deps.elapsedMs());
  }

  get lost(): number {
    return this.#lost;
  }

  get roundTripMsSum(): number {
    return this.#roundTripMsSum;
  }

  /** Asks with one probe of full size, and looks closer if that is lost. */
  async probe(member: PathMember, record: PathRecord): Promise<void> {
    const expected = this.#deps.expected(member.family);
    if (expected === undefined) return;
    if (member.port === undefined) return await this.#probeKernel(member, record);
    const network = record.mainNetwork;
    const packetBytes = network === "overlay" ? expected.overlay : expected.underlay;
    // While the own VTEP is being made there is nothing to ask from.
    if (packetBytes === undefined || !this.#deps.door.has(network, member.family)) return;
    const sentMs = this.#deps.elapsedMs();
    const reply = await this.#ask(member, record, { network, packetBytes });
    if (reply !== undefined && !reply.isDamagedThere && !reply.isDamagedBack) {
      this.#passed(record, record.main, packetBytes);
      if (this.#isUnderlayDue(record)) await this.#probeUnderlay(member, record, expected);
      return;
    }
    if (this.#isRefused(record)) return this.#unknown(record, packetBytes);
    // The answer may be among what there was no room for.
    if (this.#deps.door.isDeaf(network, member.family)) return;
    if (record.state === "lossy") record.main.lost();
    record.suspectMs ??= sentMs;
    // What is known to be bad has its own pace.
    if (record.againMs === undefined) await this.examine(member, record);
  }

  /** A host that takes no part: whether its kernel answers. */
  async #probeKernel(member: PathMember, record: PathRecord): Promise<void> {
    const { elapsedMs } = this.#deps;
    const nowMs = elapsedMs();
    record.main.asked(nowMs);
    const isAnswered = await this.#kernel(member, record.mainNetwork);
    if (isAnswered) record.main.answered(elapsedMs(), elapsedMs() - nowMs);
    record.main.found(isAnswered ? { state: "good", isByKernel: true } : { state: "silent" }, 0);
  }

  async #kernel(member: PathMember, network: ProbedNetwork): Promise<boolean> {
    const target = member.addresses[network];
    const source = this.#deps.places().find((place) =>
      place.network === network && typeof place.address === typeof target
    )?.address;
    return target !== undefined && source !== undefined &&
      await this.#deps.askKernel(source, target, network);
  }

  /** Whether a packet filter for a host's own packets keeps probes from being sent: they say nothing of those of pods. */
  #isRefused({ family, mainNetwork, isMute }: PathRecord): boolean {
    return mainNetwork === "overlay" && (isMute || this.#deps.door.isRefused(mainNetwork, family));
  }

  #unknown(record: PathRecord, expectedBytes: number): void {
    record.main.found({ state: "unknown" }, expectedBytes);
    settle(record);
  }

  #isUnderlayDue({ overlay, underlay }: PathRecord): boolean {
    return overlay !== undefined && this.#deps.elapsedMs() - (underlay.askedMs ?? -Infinity) > UNDERLAY_MS;
  }

  /** The overlay works: what the underlay carries is only to be known. That probes of it are dropped is no fault. */
  async #probeUnderlay(member: PathMember, record: PathRecord, { underlay }: ExpectedBytes): Promise<void> {
    const [whole, part] = await Promise.all([
      this.#ask(member, record, { network: "underlay", packetBytes: underlay }),
      this.#ask(member, record, { network: "underlay", packetBytes: leastBytes(member.family) }),
    ]);
    if (whole !== undefined) record.underlay.passed(this.#deps.elapsedMs(), underlay);
    else if (part !== undefined) await this.examine(member, record);
    else record.underlay.found({ state: "silent" }, underlay);
  }

  #passed(record: PathRecord, network: NetworkRecord, expectedBytes: number): void {
    network.passed(this.#deps.elapsedMs(), expectedBytes);
    if (network !== record.main) return;
    settle(record);
    // Probes are counted until none is lost: that is soon known.
    if (record.state === "lossy") record.againMs = this.#deps.elapsedMs() + LOSSY_AGAIN_MS;
  }

  /** Counts more probes of a path that loses some. Answers whether any came through. */
  async #recount(member: PathMember, record: PathRecord, packetBytes: number): Promise<boolean> {
    const network = record.mainNetwork;
    let passed = 0;
    for (let count = 0; count < RECOUNTED; count++) {
      const reply = await this.#ask(member, record, { network, packetBytes });
      if (reply !== undefined && !reply.isDamagedThere && !reply.isDamagedBack) {
        passed++;
        record.main.passed(this.#deps.elapsedMs(), packetBytes);
      } else if (!this.#deps.door.isDeaf(network, member.family)) record.main.lost();
    }
    if (passed === 0) return false;
    settle(record);
    if (record.state === "lossy") record.againMs = this.#deps.elapsedMs() + LOSSY_AGAIN_MS;
    return true;
  }

  /** Finds out what is wrong, as far as there is room for that. The code for it is loaded when it is needed. */
  async examine(member: PathMember, record: PathRecord): Promise<void> {
    const { elapsedMs, answerer } = this.#deps;
    const expected = this.#deps.expected(member.family);
    if (expected === undefined) return;
    if (this.#examinations >= EXAMINATIONS || !this.#extra.take(elapsedMs(), EXAMINATION_PROBES)) {
      record.againMs = elapsedMs() + AGAIN_MS[0] / 4;
      return;
    }
    this.#examinations++;
    try {
      const packetBytes = record.mainNetwork === "overlay" ? expected.overlay : expected.underlay;
      if (record.state === "lossy" && packetBytes !== undefined) {
        if (await this.#recount(member, record, packetBytes)) return;
        record.suspectMs ??= elapsedMs();
      }
      const { examine } = await import("./examine.ts");
      const found = await examine({
        ask: (question) => this.#ask(member, record, question),
        expected: record.overlay === undefined ? { underlay: expected.underlay } : expected,
        leastBytes: leastBytes(member.family),
        // What came before the first loss says nothing of what is.
        isHeard: (network) => answerer.heardMs(member, network) > (record.suspectMs ?? elapsedMs()),
        askKernel: (network) => this.#kernel(member, network),
        foundBefore: (network) => record[network]?.finding.foundBytes,
      });
      this.#take(record, record.underlay, found.underlay, expected.underlay);
      if (record.overlay !== undefined) {
        this.#take(record, record.overlay, found.overlay!, expected.overlay!);
      }
    } finally {
      this.#examinations--;
    }
  }

  #take(record: PathRecord, network: NetworkRecord, finding: Finding, expectedBytes: number): void {
    const isMain = network === record.main;
    if (finding.state === "good" && finding.isByKernel !== true) {
      if (isMain && !this.#deps.door.isDeaf(record.mainNetwork, record.family)) network.lost();
      this.#passed(record, network, expectedBytes);
      return;
    }
    if (isMain && this.#isRefused(record)) return this.#unknown(record, expectedBytes);
    if (isMain && this.#deps.door.isDeaf(record.mainNetwork, record.family)) {
      record.againMs = this.#deps.elapsedMs() + AGAIN_MS[0];
      return;
    }
    network.found(finding, expectedBytes);
    if (!isMain) return;
    if (finding.state === "good") {
      settle(record);
      record.againMs = this.#deps.elapsedMs() + WITHOUT_AGENT_MS;
      return;
    }
    const waitMs = Math.min(AGAIN_MS[0] * 2 ** record.badLooks++, AGAIN_MS[1]);
    record.againMs = this.#deps.elapsedMs() + waitMs * (0.75 + Math.random() / 2);
  }

  async #ask(member: PathMember, record: PathRecord, question: Question): Promise<FullReply | undefined> {
    const network = record[question.network];
    const { elapsedMs, door } = this.#deps;
    if (network === undefined || !door.has(question.network, member.family)) return undefined;
    network.asked(elapsedMs());
    const known = network.roundTripMs;
    const timeoutMs = known === undefined
      ? FIRST_TIMEOUT_MS
      : Math.min(Math.max(8 * known + 50, LEAST_TIMEOUT_MS), MOST_TIMEOUT_MS);
    const reply = await door.ask(member, question, timeoutMs);
    if (reply === undefined) {
      this.#lost++;
      return undefined;
    }
    network.answered(elapsedMs(), reply.roundTripMs);
    record.hearsOthers = reply.answer.hears.others;
    record.isMute = reply.answer.hears.isMute === true;
    this.#roundTripMsSum += reply.roundTripMs;
    return reply;
  }
}

/** Nothing is wrong any more. */
function settle(record: PathRecord): void {
  record.againMs = undefined;
  record.suspectMs = undefined;
  record.badLooks = 0;
}
