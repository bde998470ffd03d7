import type { MessageReader } from "../netlink/message.ts";
import { decodeChain, decodeGeneration, decodeSubject, type Generation } from "../nftables/dump.ts";
import {
  HOOK,
  NFT_MSG_DELCHAIN,
  NFT_MSG_NEWCHAIN,
  NFT_MSG_NEWGEN,
  NFT_MSG_NEWTABLE,
  type NftChain,
  type NftTable,
} from "../nftables/objects.ts";
import { EARLIER_TABLE, FLANNEL_NAT_CHAIN, FLANNEL_TABLES, FORWARD_CHAIN } from "./rules.ts";

/** All is read anew after this long: what an owner takes along when it ends is not told of. */
const MAX_AGE_MS = 60_000;
/** Changes of one transaction that are kept until its end; of more than these all is read anew. */
const MOST_CHANGES = 1000;
const TABLES: ReadonlySet<string> = new Set(Object.values(FLANNEL_TABLES));
/** Of iptables' tables, by their names. */
const CHAINS: ReadonlySet<string> = new Set([
  "filter FORWARD",
  `filter ${FORWARD_CHAIN}`,
  "nat POSTROUTING",
  `nat ${FLANNEL_NAT_CHAIN}`,
]);

/** Whether all that is in a table is of interest: ours, an earlier Loden's and flannel's are. */
function isTableOfInterest(table: string): boolean {
  return table.startsWith(EARLIER_TABLE) || TABLES.has(table);
}

/** Whether a chain is looked at by its name, or as packets of pods, or in VXLAN, go through it. */
export function isChainOfInterest({ table, chain, base }: NftChain): boolean {
  // What is forwarded may be led to another address before, or be dropped where its source is translated.
  const isMet = base !== undefined && (base.type === "filter" || base.hook !== HOOK.output);
  return isMet || isTableOfInterest(table) || CHAINS.has(`${table} ${chain}`);
}

/** What names a chain. */
export function chainKey({ family, table, chain }: Omit<NftChain, "base">): string {
  return `${family} ${table} ${chain}`;
}

/** What a change makes of a chain of interest. */
interface Change {
  readonly handle: string;
  /** `undefined` for a chain that has gone, or is of none any more. */
  readonly chain: NftChain | undefined;
}

/**
 * Knows which chains are of interest, from one look at all and all that was heard since, and which transactions of others
 * touch what a look has read: a host may have 20,000 chains that change several times a second.
 */
export class RuleNews {
  readonly #elapsedMs: () => number;
  #catchUp = () => {};
  #known:
    | { generation: number; readonly sinceMs: number; readonly chains: Map<string, NftChain> }
    | undefined;
  /** What the last look has read the rules of, each by `chainKey()`. */
  #read = new Set<string>();
  /** The same of what packets were played through. */
  #watched: ReadonlySet<string> = new Set();
  /** Of the transaction that is being told of. */
  #changes: Change[] = [];
  #isTouched = false;
  #lastBy: Pick<Generation, "pid" | "program"> | undefined;

  /** @param elapsedMs A clock that nobody sets. */
  constructor(elapsedMs: () => number) {
    this.#elapsedMs = elapsedMs;
  }

  /** Who has made the last transaction of others that was news. */
  get lastBy(): Pick<Generation, "pid" | "program"> | undefined {
    return this.#lastBy;
  }

  /** Says how to hear what has been told up to now. */
  hearBy(catchUp: () => void): void {
    this.#catchUp = catchUp;
  }

  /** Hears one message. Reports whether it ends a transaction of others that asks for a look. */
  heard(message: MessageReader, isOwn: boolean): boolean {
    if (message.type === NFT_MSG_NEWGEN) return this.#ended(message, isOwn);
    if (this.#known === undefined) return false;
    const subject = decodeSubject(message);
    if (subject === undefined) return false;
    const { table, chain } = subject;
    const isOfInterest = isTableOfInterest(table) ||
      chain !== undefined &&
        (CHAINS.has(`${table} ${chain}`) || this.#isRead(chainKey({ ...subject, chain })));
    // The kernel may run what is in it from now on, or not any more.
    const isTable = message.type === NFT_MSG_NEWTABLE && this.#knowsTable(subject);
    if (isOfInterest || isTable) this.#isTouched = true;
    const isChain = message.type === NFT_MSG_NEWCHAIN || message.type === NFT_MSG_DELCHAIN;
    if (isChain) this.#chainChanged(message, subject);
    return false;
  }

  /** Some was lost: the next look reads all. */
  lost(): void {
    this.#known = undefined;
    this.#changes = [];
    this.#isTouched = false;
  }

  /** The chains of interest as of a generation; `undefined` where that is not known and all must be read. */
  chainsAt(generation: number): readonly NftChain[] | undefined {
    if (this.#known !== undefined && this.#known.generation !== generation) this.#catchUp();
    const known = this.#known;
    if (known?.generation !== generation || this.#elapsedMs() - known.sinceMs > MAX_AGE_MS) return undefined;
    return [...known.chains.values()];
  }

  /** Takes in the chains of interest that all were read for, by handle, after a generation was. */
  readAll(generation: number, chains: ReadonlyMap<string, NftChain>): void {
    this.lost();
    this.#known = { generation, sinceMs: this.#elapsedMs(), chains: new Map(chains) };
  }

  /** Begins a look. */
  look(): void {
    this.#read = new Set();
  }

  /** Notes that a look has read the rules of a chain. */
  read(key: string): void {
    this.#read.add(key);
  }

  /** Notes whose rules packets were played through. */
  watch(keys: ReadonlySet<string>): void {
    this.#watched = keys;
  }

  #isRead(key: string): boolean {
    return this.#read.has(key) || this.#watched.has(key);
  }

  #knowsTable({ family, table }: NftTable): boolean {
    return [...this.#known?.chains.values() ?? []].some((one) =>
      one.family === family && one.table === table
    );
  }

  #chainChanged(
    message: MessageReader,
    { family, table, handle }: { family: number; table: string; handle: string },
  ): void {
    const name = `${family} ${table} ${handle}`;
    const made = message.type === NFT_MSG_NEWCHAIN ? decodeChain(message) : undefined;
    const chain = made !== undefined && isChainOfInterest(made) ? made : undefined;
    // One that was renamed is found by its handle.
    const isKnown = this.#known?.chains.has(name) || this.#changes.some(({ handle }) => handle === name);
    if (chain === undefined && !isKnown) return;
    this.#isTouched = true;
    this.#changes.push({ handle: name, chain });
    if (this.#changes.length > MOST_CHANGES) this.lost();
  }

  #ended(message: MessageReader, isOwn: boolean): boolean {
    const { generation, ...by } = decodeGeneration(message);
    const [changes, isTouched] = [this.#changes, this.#isTouched];
    this.#changes = [];
    this.#isTouched = false;
    const known = this.#known;
    if (known === undefined) {
      if (!isOwn) this.#lastBy = by;
      return !isOwn;
    }
    // Such as this was in what was read.
    if ((generation - known.generation | 0) <= 0) return false;
    const next = known.generation + 1 >>> 0 || 1;
    if (generation !== next) {
      this.lost();
      return true;
    }
    known.generation = generation;
    for (const { handle, chain } of changes) {
      if (chain === undefined) known.chains.delete(handle);
      else known.chains.set(handle, chain);
    }
    if (isOwn || !isTouched) return false;
    this.#lastBy = by;
    return true;
  }
}
