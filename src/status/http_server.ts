import { errnoName, NetlinkError } from "../linux/errno.ts";
import type { Libc } from "../linux/libc.ts";
import { type PollEntry, POLLIN, PollMany } from "../linux/poll_many.ts";
import type { Listener } from "../linux/stream_socket.ts";
import { errorText } from "../log/error_text.ts";
import { pause, within } from "../loop/pause.ts";
import { type Answer, HttpConnection, type Patience } from "./http_connection.ts";
import { MAX_HEAD_BYTES } from "./http_head.ts";
import { type AnswerPace, KeptAnswers } from "./kept_answers.ts";
import { restMs } from "./rest.ts";

/** How much a server takes on. */
export interface ServerLimits extends Patience {
  /** Connections at a time: far fewer than a process may have descriptors. */
  readonly connections: number;
  /** Bytes of all answers that clients have not taken. */
  readonly heldBytes: number;
}

const LIMITS: ServerLimits = {
  connections: 256,
  heldBytes: 8 << 20,
  // Probes ask at once; a person who types is given some time.
  headMs: 10_000,
  answerMs: 10_000,
  closeMs: 5000,
};
/** Requests under way at the end get this long. */
const SHUTDOWN_MS = 500;
/** Connections that are taken before the others have their turn. */
const MAX_ACCEPTED = 64;
/**
 * Each half of a turn lasts no longer, so that passes have theirs soon, however many ask; but so many connections go on in
 * it, as on a busy host most of that time may be other programs'. Behind a turn in which more went on comes a rest.
 */
const TURN_MS = 0.5;
const FEW_TURNS = 16;
/** Between attempts where the system refuses. */
const RETRY_MS = 100;

/** What a server listens with. */
export interface ServerDeps {
  readonly libc: Libc;
  readonly answer: Answer;
  /** Whether a request may be for this host, by its `Host`; all are, if absent. */
  readonly isOwnName?: (host: string, target: string) => boolean;
  readonly limits?: Partial<ServerLimits>;
  /** How many answers are made, and how long one may be told again. */
  readonly pace?: Partial<AnswerPace>;
}

/**
 * An HTTP/1 server for a few short answers, which whoever connects can neither end nor fill: one request for each
 * connection, a bounded number of these, a time limit for each step. The newest connection is always taken: where there is
 * no room, the oldest that has not asked for anything gives way, else the oldest of all. So a probe is answered beside
 * thousands of idle connections.
 *
 * `Deno.serve()` has none of these limits, and ends for good when there are no descriptors left; a write that a client of
 * `Deno.listen()` does not take can't be given up.
 */
export class HttpServer implements AsyncDisposable {
  readonly #listener: Listener;
  readonly #poll: PollMany;
  readonly #answer: Answer;
  readonly #isOwnName: ((host: string, target: string) => boolean) | undefined;
  readonly #limits: ServerLimits;
  readonly #resources: DisposableStack;
  /** Oldest first. */
  readonly #connections = new Set<HttpConnection>();
  readonly #kept: KeptAnswers;
  /** What connections read into, one after the other: memory for each of thousands a second would have to be found again. */
  readonly #scratch = new Uint8Array(MAX_HEAD_BYTES);
  readonly #serving: Promise<void>;
  /** When to listen again, after the system has refused a connection. */
  #acceptAtMs = -Infinity;
  #endsAtMs = Infinity;
  #fault: string | undefined;
  /** Whether more can be told at once than a turn had time for. */
  #hasAlike = false;

  private constructor(
    listener: Listener,
    poll: PollMany,
    { answer, isOwnName, limits, pace }: ServerDeps,
    resources: DisposableStack,
  ) {
    this.#listener = listener;
    this.#poll = poll;
    this.#answer = answer;
    this.#isOwnName = isOwnName;
    this.#limits = { ...LIMITS, ...limits };
    this.#kept = new KeptAnswers(() => performance.now(), pace);
    this.#resources = resources;
    this.#serving = this.#serve();
  }

  /**
   * Serves until it is disposed of, and the listener with it.
   *
   * @throws {NetlinkError} If the process can have no more descriptors.
   */
  static serve(listener: Listener, deps: ServerDeps): HttpServer {
    using stack = new DisposableStack();
    stack.use(listener);
    return new HttpServer(listener, stack.use(new PollMany(deps.libc)), deps, stack.move());
  }

  /** Why no connection can be taken now; `undefined` if they can. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** How many connections there are. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Serves until the server ends; nothing that goes wrong meanwhile ends it. */
  async #serve(): Promise<void> {
    while (!this.#isEnded) {
      try {
        const turn = await this.#turns();
        if (turn !== undefined) {
          if (turn.count > FEW_TURNS) await pause(restMs(turn.tookMs));
          continue;
        }
      } catch (error) {
        this.#fault = errorText(error);
      }
      await pause(RETRY_MS);
    }
  }

  /**
   * Waits until some can go on, and has these take their turns.
   *
   * @returns How many went on, and how long that took; `undefined` if the kernel could not wait.
   */
  async #turns(): Promise<{ readonly count: number; readonly tookMs: number } | undefined> {
    this.#cutOffLate();
    const isEnding = this.#endsAtMs !== Infinity;
    if (isEnding) this.#letGo();
    if (this.#isEnded) return { count: 0, tookMs: 0 };
    const isListening = !isEnding && performance.now() >= this.#acceptAtMs;
    const waiting = [...this.#connections].filter(({ events }) => events !== 0);
    const entries: PollEntry[] = waiting.map(({ fd, events }) => ({ fd, events }));
    if (isListening) entries.push({ fd: this.#listener.fd, events: POLLIN });
    const ready = await this.#poll.wait(entries, this.#waitMs());
    if (ready === undefined) return undefined;
    const beganMs = performance.now();
    let untilMs = beganMs + TURN_MS;
    let turns = 0;
    for (const [at, connection] of waiting.entries()) {
      if (!ready[at]) continue;
      this.#turn(connection);
      turns++;
      if (turns >= FEW_TURNS && performance.now() > untilMs) break;
    }
    // Who comes has a time of his own: else those who are served would keep others from being heard at all.
    untilMs = performance.now() + TURN_MS;
    if (isListening && ready[waiting.length]) turns += this.#accept(untilMs);
    // Those that may have the same one are told in the next turn: it took as long as they would.
    this.#hasAlike = await this.#answerOne() || this.#answerAlike(untilMs);
    return { count: turns, tookMs: performance.now() - beganMs };
  }

  /** Those that ask what was answered a moment ago, and waited, have the same answer. Reports whether there are more. */
  #answerAlike(untilMs: number): boolean {
    let told = 0;
    for (const connection of this.#connections) {
      if (!connection.isWaiting || this.#kept.again(connection.question) === undefined) continue;
      if (told >= FEW_TURNS && performance.now() > untilMs) return true;
      this.#turn(connection);
      told++;
    }
    return false;
  }

  get #isEnded(): boolean {
    return this.#endsAtMs !== Infinity &&
      (this.#connections.size === 0 || performance.now() >= this.#endsAtMs);
  }

  /** How long there is nothing to do if nobody does anything. */
  #waitMs(): number {
    const isAsked = [...this.#connections].some(({ isWaiting }) => isWaiting);
    if (isAsked) return this.#hasAlike ? 0 : Math.ceil(this.#kept.waitMs);
    const nextMs = Math.min(
      this.#endsAtMs,
      this.#acceptAtMs > performance.now() ? this.#acceptAtMs : Infinity,
      ...[...this.#connections].map(({ dueMs }) => dueMs),
    );
    return nextMs === Infinity ? -1 : Math.max(0, Math.ceil(nextMs - performance.now()));
  }

  #turn(connection: HttpConnection): void {
    connection.turn();
    const kept = connection.isWaiting ? this.#kept.again(connection.question) : undefined;
    if (kept !== undefined) {
      connection.tell(kept);
      connection.turn();
    }
    if (connection.isOver) this.#connections.delete(connection);
  }

  /**
   * Makes one answer: a hundred at once would be a hundred times the memory. It is that of the oldest which asks what was
   * not answered a moment ago, so that a flood of one question keeps no other from being answered; else of the oldest.
   * Reports whether there was one to make.
   */
  async #answerOne(): Promise<boolean> {
    if (this.#kept.waitMs > 0) return false;
    const waiting = [...this.#connections].filter(({ isWaiting }) => isWaiting);
    const next = waiting.find(({ question }) => !this.#kept.has(question)) ?? waiting[0];
    if (next === undefined) return false;
    const { question } = next;
    this.#kept.made();
    const bytes = await within(next.answer(this.#answer), this.#limits.answerMs);
    if (bytes === undefined) this.#cutOff(next);
    else {
      this.#kept.keep(question, bytes);
      this.#turn(next);
    }
    return true;
  }

  /** Takes who waits to be taken. Answers how many there were. */
  #accept(untilMs: number): number {
    const { connections } = this.#limits;
    let accepted = 0;
    try {
      for (; accepted < MAX_ACCEPTED && (accepted < FEW_TURNS || performance.now() <= untilMs); accepted++) {
        const stream = this.#listener.accept();
        this.#fault = undefined;
        if (stream === undefined) break;
        while (this.#connections.size >= connections) this.#cutOff(this.#oldest());
        const changed = () => this.#poll.wake();
        const deps = {
          answer: this.#answer,
          patience: this.#limits,
          isOwnName: this.#isOwnName,
          changed,
          elapsedMs: () => performance.now(),
          scratch: this.#scratch,
        };
        const connection = new HttpConnection(stream, deps);
        this.#connections.add(connection);
        this.#turn(connection);
      }
    } catch (error) {
      this.#fault = reasonOf(error);
      this.#acceptAtMs = performance.now() + RETRY_MS;
      // It may be for want of descriptors, which these have.
      this.#cutOffIdle();
    }
    return accepted;
  }

  /** The one that gives way to another. */
  #oldest(): HttpConnection {
    const all = [...this.#connections];
    return all.find(({ isIdle }) => isIdle) ?? all[0]!;
  }

  #cutOff(connection: HttpConnection): void {
    connection.cutOff();
    this.#connections.delete(connection);
  }

  #cutOffIdle(): void {
    for (const connection of this.#connections) if (connection.isIdle) this.#cutOff(connection);
  }

  /** Keeps only those that still need something of this process. */
  #letGo(): void {
    this.#cutOffIdle();
    for (const connection of this.#connections) {
      connection.letGo();
      if (connection.isOver) this.#connections.delete(connection);
    }
  }

  /** Cuts off who has taken too long, and the oldest answers that are too much for all. */
  #cutOffLate(): void {
    const nowMs = performance.now();
    for (const connection of this.#connections) if (connection.dueMs <= nowMs) this.#cutOff(connection);
    const held = [...this.#connections].filter(({ heldBytes }) => heldBytes > 0);
    let total = held.reduce((sum, { heldBytes }) => sum + heldBytes, 0);
    // The last one may be as long as it likes: it is an answer of ours.
    for (const connection of held.slice(0, -1)) {
      if (total <= this.#limits.heldBytes) return;
      total -= connection.heldBytes;
      this.#cutOff(connection);
    }
  }

  /** Lets requests under way end, and cuts off what takes too long. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#endsAtMs === Infinity) this.#endsAtMs = performance.now() + SHUTDOWN_MS;
    this.#poll.wake();
    await this.#serving;
    for (const connection of this.#connections) this.#cutOff(connection);
    this.#resources.dispose();
  }
}

function reasonOf(error: unknown): string {
  return error instanceof NetlinkError ? errnoName(error.errno) : errorText(error);
}
