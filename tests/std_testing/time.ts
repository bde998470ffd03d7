/**
 * `@std/testing/time`, as far as tests here use it: see `bdd.ts`.
 *
 * @module
 */

interface Timer {
  readonly id: number;
  readonly call: () => void;
  readonly everyMs: number | undefined;
  dueMs: number;
}

type Callback = (...args: unknown[]) => void;

const REAL = {
  Date: globalThis.Date,
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setInterval: globalThis.setInterval,
  clearInterval: globalThis.clearInterval,
};

/** `Date` and timers that stand still until a test lets time go on. `performance.now()` stays the real one. */
export class FakeTime implements Disposable {
  static #faked: FakeTime | undefined;
  readonly #timers = new Map<number, Timer>();
  #nowMs: number;
  #lastId = 0;

  /** Time begins at `start`, or now. */
  constructor(start?: number | string | Date) {
    if (FakeTime.#faked !== undefined) throw new Error("Cannot fake time: it is faked already");
    FakeTime.#faked = this;
    this.#nowMs = new REAL.Date(start ?? REAL.Date.now()).getTime();
    const clear = (id?: number) => void this.#timers.delete(id ?? 0);
    Object.assign(globalThis, {
      Date: this.#fakeDate(),
      setTimeout: (call: Callback, ms = 0, ...args: unknown[]) => this.#add(call, ms, args, undefined),
      setInterval: (call: Callback, ms = 0, ...args: unknown[]) => this.#add(call, ms, args, ms),
      clearTimeout: clear,
      clearInterval: clear,
    });
  }

  /** In milliseconds since 1970. */
  get now(): number {
    return this.#nowMs;
  }

  /** Lets `ms` pass, and calls what is due by then. */
  tick(ms = 0): void {
    const endMs = this.#nowMs + ms;
    for (let timer = this.#first(); timer && timer.dueMs <= endMs; timer = this.#first()) {
      this.#nowMs = timer.dueMs;
      if (timer.everyMs === undefined) this.#timers.delete(timer.id);
      else timer.dueMs += Math.max(1, timer.everyMs);
      timer.call();
    }
    this.#nowMs = endMs;
  }

  /** Lets what waits for promises go on, then lets `ms` pass. */
  async tickAsync(ms = 0): Promise<void> {
    await this.#runMicrotasks();
    this.tick(ms);
  }

  /** Goes to when a timer is due next, and tells whether there is one. */
  next(): boolean {
    const timer = this.#first();
    if (timer !== undefined) this.tick(timer.dueMs - this.#nowMs);
    return timer !== undefined;
  }

  /** Lets what waits for promises go on, then does as `next()`. */
  async nextAsync(): Promise<boolean> {
    await this.#runMicrotasks();
    return this.next();
  }

  /** Gives real time back. */
  restore(): void {
    if (FakeTime.#faked !== this) throw new Error("Cannot restore time: it is real already");
    FakeTime.#faked = undefined;
    Object.assign(globalThis, REAL);
  }

  [Symbol.dispose](): void {
    this.restore();
  }

  #add(call: Callback, ms: number, args: unknown[], everyMs: number | undefined): number {
    const id = ++this.#lastId;
    this.#timers.set(id, { id, call: () => call(...args), everyMs, dueMs: this.#nowMs + Math.max(0, ms) });
    return id;
  }

  /** Of those that are due at once, the one that has been set first. */
  #first(): Timer | undefined {
    return [...this.#timers.values()].sort((a, b) => a.dueMs - b.dueMs || a.id - b.id)[0];
  }

  #runMicrotasks(): Promise<void> {
    return new Promise((resolve) => REAL.setTimeout.call(globalThis, resolve, 0));
  }

  #fakeDate(): DateConstructor {
    const now = () => this.#nowMs;
    return new Proxy(REAL.Date, {
      construct: (target, args, self) => Reflect.construct(target, args.length === 0 ? [now()] : args, self),
      get: (target, key) => key === "now" ? now : Reflect.get(target, key),
    });
  }
}
