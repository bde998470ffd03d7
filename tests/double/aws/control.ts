import { AwsError } from "./aws_error.ts";
import { isLike } from "./filters.ts";
import type { Query } from "./query.ts";

/** How a request can go wrong on its way. An error is what AWS answers. */
export type Fault =
  | "throttle"
  | "html 500"
  | "html 502"
  /** The connection stays open, and nothing comes. */
  | "silence"
  /** The answer ends in its middle, with the connection. */
  | "cut"
  /** The action is done, and its answer is lost. */
  | "lost answer"
  | { readonly hugeBytes: number }
  | AwsError;

/** Which requests: what is left out is any. */
export interface Which {
  /** May have `*`: `Describe*`. */
  readonly action?: string;
  /** A part of the caller's ARN. */
  readonly caller?: string;
}

/** One request that came. */
export interface Call {
  readonly service: "ec2" | "sts" | "imds" | "container";
  /** Of the metadata services: the method and the path. */
  readonly action: string;
  /** An ARN, or nothing if it is not known who it was. */
  readonly caller: string;
  readonly isDryRun: boolean;
  readonly query: Query | undefined;
  /** What it came to: `ok`, or an error's code. */
  result: string;
}

/** Done when a request is about to be carried out; what it throws is the answer. */
export type Hook = (query: Query, caller: string) => void | Promise<void>;

interface Pending<T> extends Which {
  readonly what: T;
  left: number;
}

interface Bucket {
  readonly action: string;
  readonly capacity: number;
  readonly refillPerSecond: number;
  /** By action, since AWS has a bucket for each. */
  readonly levels: Map<string, { tokens: number; atMs: number }>;
}

/** What a test makes AWS do, and what it asks about what came. */
export class Control {
  /** Every request, in the order in which they came. */
  readonly calls: Call[] = [];
  /** How far AWS's clock is ahead of this machine's. */
  clockOffsetMs = 0;
  /** What goes with `RequestLimitExceeded` as `Retry-After`; EC2 sends none. */
  retryAfterSeconds: number | undefined;
  /** Pages are cut before they are filtered, so that some are empty and yet not the last. */
  isCutFirst = false;
  /** A Describe with neither ids, filters nor pages is refused, as in an account with very many resources. */
  isUnqualifiedRefused = false;
  readonly #faults: Pending<Fault>[] = [];
  readonly #hooks: Pending<Hook>[] = [];
  readonly #buckets: Bucket[] = [];

  /** AWS's time. */
  readonly now = (): number => Date.now() + this.clockOffsetMs;

  /** Has the next `times` requests go wrong. */
  fail(what: Fault, which: Which & { readonly times?: number } = {}): void {
    this.#faults.push({ ...which, what, left: which.times ?? 1 });
  }

  /** Does something before the next `times` requests are carried out: what another host does meanwhile. */
  before(which: Which & { readonly times?: number }, hook: Hook): void {
    this.#hooks.push({ ...which, what: hook, left: which.times ?? 1 });
  }

  /** Throttles actions as AWS does: each has a bucket of tokens of its own, which fills again. */
  limit(action: string, capacity: number, refillPerSecond: number): void {
    this.#buckets.push({ action, capacity, refillPerSecond, levels: new Map() });
  }

  /** All goes well again. */
  heal(): void {
    this.#faults.length = this.#hooks.length = this.#buckets.length = 0;
  }

  /** How many requests came of this kind. */
  count(action = "*", caller = ""): number {
    return this.calls.filter((call) => isLike(call.action, action) && call.caller.includes(caller)).length;
  }

  /** What came, counted by action: what a test compares as a whole. */
  tally(caller = ""): Readonly<Record<string, number>> {
    const tally: Record<string, number> = {};
    for (const call of this.calls) {
      if (call.caller.includes(caller)) tally[call.action] = (tally[call.action] ?? 0) + 1;
    }
    return tally;
  }

  /** Forgets what came. */
  forgetCalls(): void {
    this.calls.length = 0;
  }

  /** What goes wrong with this request, if anything does. For the services. */
  takeFault({ action, caller }: Call): Fault | undefined {
    const fault = take(this.#faults, action, caller);
    if (fault !== undefined) return fault;
    return this.#buckets.some((bucket) => !this.#takeToken(bucket, action)) ? "throttle" : undefined;
  }

  /** Does what was to be done before this request. For the services. */
  async runHooks({ action, caller }: Call, query: Query): Promise<void> {
    await take(this.#hooks, action, caller)?.(query, caller);
  }

  #takeToken({ action, capacity, refillPerSecond, levels }: Bucket, asked: string): boolean {
    if (!isLike(asked, action)) return true;
    const atMs = this.now();
    const last = levels.get(asked) ?? { tokens: capacity, atMs };
    const tokens = Math.min(capacity, last.tokens + (atMs - last.atMs) / 1000 * refillPerSecond);
    levels.set(asked, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs });
    return tokens >= 1;
  }
}

function take<T>(pending: Pending<T>[], action: string, caller: string): T | undefined {
  const found = pending.find((one) =>
    one.left > 0 && isLike(action, one.action ?? "*") && caller.includes(one.caller ?? "")
  );
  if (found !== undefined) found.left--;
  return found?.what;
}
