import type { Family } from "../model/address.ts";
import type {
  NetworkPath,
  PathDirection,
  PathMtu,
  PathState,
  PeerPath,
  ProbedNetwork,
} from "../model/peer_path.ts";

/** Probes that the loss is counted over. */
const COUNTED = 20;
/** Of so many at least, so many lost ones make a path lossy, which it is until none of those counted is lost. */
const LEAST_COUNTED = 8;
const LOSSY = 3;

/** What an examination of a path through one network has found. */
export interface Finding {
  readonly state: PathState;
  /** Whether the peer's kernel alone has answered: packets come there and back, of what size is not known. */
  readonly isByKernel?: true;
  readonly direction?: PathDirection;
  /** The largest IP packet that gets through, where that is not all that must. */
  readonly foundBytes?: number | undefined;
}

/** What is known of the path to one peer through one network. Times are milliseconds of a clock that never jumps. */
export class NetworkRecord {
  /** The last probes of full size, the newest in the lowest bit: 1 for a lost one. */
  #losses = 0;
  #counted = 0;
  #finding: Finding = { state: "unknown" };
  #roundTripMs: number | undefined;
  #askedMs: number | undefined;
  #answeredMs: number | undefined;
  /** When it was good last. */
  #goodMs: number | undefined;
  #expectedBytes = 0;

  get finding(): Finding {
    return this.#finding;
  }

  get roundTripMs(): number | undefined {
    return this.#roundTripMs;
  }

  get askedMs(): number | undefined {
    return this.#askedMs;
  }

  get answeredMs(): number | undefined {
    return this.#answeredMs;
  }

  /** When a packet of full size has come there and back last; `undefined` if none has. */
  get goodMs(): number | undefined {
    return this.#goodMs;
  }

  get lossRatio(): number {
    return this.#counted === 0 ? 0 : this.#lost / this.#counted;
  }

  get #lost(): number {
    let lost = 0;
    for (let bits = this.#losses; bits !== 0; bits &= bits - 1) lost++;
    return lost;
  }

  /** A probe was sent. */
  asked(nowMs: number): void {
    this.#askedMs = nowMs;
  }

  /** Any probe was answered. */
  answered(nowMs: number, roundTripMs: number): void {
    this.#answeredMs = nowMs;
    this.#roundTripMs = roundTripMs;
  }

  /** A probe of full size has come there and back, undamaged. What was wrong before is over. */
  passed(nowMs: number, expectedBytes: number): void {
    const wasOut = this.#finding.state !== "good" && this.#finding.state !== "lossy";
    // What was lost while nothing came through is another matter than what is lost now and then.
    if (wasOut) this.#counted = this.#losses = 0;
    this.#count(0);
    this.#goodMs = nowMs;
    this.#expectedBytes = expectedBytes;
    const isLossy = this.#finding.state === "lossy" ? this.#lost > 0 : this.#isLossy;
    this.#finding = { state: isLossy ? "lossy" : "good" };
  }

  /** A probe of full size was lost, and another one was not. */
  lost(): void {
    this.#count(1);
    if (this.#finding.state === "good" && this.#isLossy) this.#finding = { state: "lossy" };
  }

  get #isLossy(): boolean {
    return this.#counted >= LEAST_COUNTED && this.#lost >= LOSSY;
  }

  #count(bit: number): void {
    this.#losses = (this.#losses << 1 | bit) & (1 << COUNTED) - 1;
    this.#counted = Math.min(this.#counted + 1, COUNTED);
  }

  /** An examination has found what is wrong. */
  found(finding: Finding, expectedBytes: number): void {
    this.#expectedBytes = expectedBytes;
    this.#finding = finding;
  }

  /** @param offsetMs What the clock of the times here is behind the one that counts since 1970. */
  show(offsetMs: number): NetworkPath {
    const { state, direction } = this.#finding;
    const at = (ms: number | undefined) => ms === undefined ? undefined : Math.round(ms + offsetMs);
    return {
      state,
      roundTripMs: this.#roundTripMs,
      lossRatio: this.lossRatio,
      mtu: this.#mtu(),
      ...direction !== undefined && { direction },
      askedAtMs: at(this.#askedMs),
      answeredAtMs: at(this.#answeredMs),
    };
  }

  #mtu(): PathMtu {
    const { state, direction, foundBytes } = this.#finding;
    const isWhole = state === "good" || state === "lossy";
    return {
      expectedBytes: this.#expectedBytes,
      foundBytes: isWhole ? this.#expectedBytes : foundBytes,
      ...state === "narrow" && direction !== undefined && { direction },
    };
  }
}

/** What is known of the path to one peer in one family. */
export class PathRecord {
  readonly underlay = new NetworkRecord();
  readonly overlay: NetworkRecord | undefined;
  /** When it is to be looked at again, as something is wrong; `undefined` where nothing is. */
  againMs: number | undefined;
  /** When the first probe was sent that was lost, since when none has come through. */
  suspectMs: number | undefined;
  /** How often in a row something was wrong. */
  badLooks = 0;
  isBusy = false;
  /** Whether the peer has said that it hears others through the overlay. */
  hearsOthers = false;
  /** Whether the peer has said that its own packet filter refuses what it sends through the overlay. */
  isMute = false;

  constructor(readonly host: string, readonly family: Family, hasOverlay: boolean) {
    this.overlay = hasOverlay ? new NetworkRecord() : undefined;
  }

  /** The network that pods' packets go through. */
  get main(): NetworkRecord {
    return this.overlay ?? this.underlay;
  }

  get mainNetwork(): ProbedNetwork {
    return this.overlay === undefined ? "underlay" : "overlay";
  }

  get state(): PathState {
    return this.main.finding.state;
  }

  /** What was found holds no more, and nothing else is known yet. */
  forget(): void {
    for (const network of [this.underlay, this.overlay]) network?.found({ state: "unknown" }, 0);
    this.againMs = this.suspectMs = undefined;
    this.badLooks = 0;
  }

  show(offsetMs: number): PeerPath {
    const { host, family, state } = this;
    const shown = {
      host,
      family,
      state,
      ...this.overlay !== undefined && { overlay: this.overlay.show(offsetMs) },
      underlay: this.underlay.show(offsetMs),
    };
    const reason = reasonOf(shown);
    return reason === undefined ? shown : { ...shown, reason };
  }
}

/** Where packets are lost, as a clause's end. */
const LOST: Readonly<Record<PathDirection, string>> = {
  there: "on the way there",
  back: "on the way back",
};

/** What is wrong with a path, as a clause; `undefined` where nothing is. */
export function reasonOf({ state, overlay, underlay }: Omit<PeerPath, "reason">): string | undefined {
  const main = overlay ?? underlay;
  const through = overlay === undefined ? "" : " over the overlay";
  switch (state) {
    case "good":
    case "unknown":
      return undefined;
    case "narrow":
      return narrowReason(main, overlay && underlay);
    case "lossy":
      return `of the last probes${through} some are lost`;
    case "damaged":
      return `packets${through} are damaged${main.direction === undefined ? "" : ` ${LOST[main.direction]}`}`;
    case "broken":
      return main.direction === undefined
        ? `no packet comes through${through}, though it is alive`
        : `packets${through} are lost ${LOST[main.direction]}, though it is alive`;
    case "silent":
      return "it does not answer at all; it may be down";
  }
}

function narrowReason({ mtu }: NetworkPath, underlay: NetworkPath | undefined): string {
  const { expectedBytes, foundBytes, direction } = mtu;
  const found = foundBytes === undefined ? "fewer get through" : `${foundBytes} get through`;
  const below = underlay?.mtu.foundBytes;
  const under = below === undefined ? "" : `, underlay ${below}`;
  const way = direction === undefined ? "" : `; larger packets are lost ${LOST[direction]}`;
  return `${expectedBytes} bytes expected, ${found}${under}${way}`;
}
