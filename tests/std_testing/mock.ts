/**
 * `@std/testing/mock`, as far as tests here use it: see `bdd.ts`.
 *
 * @module
 */
import { assertEquals } from "@std/assert";

/** One call of a spy, and what came of it. */
export interface SpyCall<Args extends unknown[], Return> {
  readonly args: Args;
  readonly returned?: Return;
  readonly error?: Error;
}

/** A function that remembers its calls. */
export interface Spy<Args extends unknown[], Return> {
  (...args: Args): Return;
  readonly calls: SpyCall<Args, Return>[];
}

/** A spy in the place of an object's method, until it is restored. */
export interface Stub<Args extends unknown[], Return> extends Spy<Args, Return>, Disposable {
  restore(): void;
}

/** Makes a function that remembers its calls, and does what `original` does, or nothing. */
export function spy<Args extends unknown[], Return>(original: (...args: Args) => Return): Spy<Args, Return>;
export function spy(): Spy<unknown[], undefined>;
export function spy(original: (...args: unknown[]) => unknown = () => undefined): Spy<unknown[], unknown> {
  const calls: SpyCall<unknown[], unknown>[] = [];
  return Object.assign(function (this: unknown, ...args: unknown[]): unknown {
    try {
      const returned = original.apply(this, args);
      calls.push({ args, returned });
      return returned;
    } catch (error) {
      calls.push({ args, error: error as Error });
      throw error;
    }
  }, { calls });
}

/** Puts a spy on `fake` in the place of a method of `self`. */
export function stub<Self extends object, Name extends keyof Self>(
  self: Self,
  name: Name,
  fake: Self[Name] extends (...args: infer Args) => infer Return ? (...args: Args) => Return : never,
): Stub<unknown[], unknown> {
  const before = Object.getOwnPropertyDescriptor(self, name);
  let isRestored = false;
  const restore = () => {
    if (isRestored) throw new Error(`Cannot restore ${String(name)}: it is restored already`);
    isRestored = true;
    if (before === undefined) delete self[name];
    else Object.defineProperty(self, name, before);
  };
  const made = Object.assign(spy(fake as (...args: unknown[]) => unknown), {
    restore,
    [Symbol.dispose]: restore,
  });
  Object.defineProperty(self, name, { value: made, configurable: true, enumerable: true, writable: true });
  return made;
}

/** Makes a function that returns one value after the other, throws those that are errors, and then has none. */
export function returnsNext<Return, Args extends unknown[] = unknown[]>(
  values: Iterable<Return | Error>,
): (...args: Args) => Return {
  const left = values[Symbol.iterator]();
  let called = 0;
  return () => {
    const { value, done } = left.next();
    if (done) throw new Error(`Cannot return a value: call ${called + 1} comes after the last of ${called}`);
    called++;
    if (value instanceof Error) throw value;
    return value;
  };
}

/** @throws {AssertionError} If `spy` was not called `expected` times. */
export function assertSpyCalls<Args extends unknown[], Return>(
  { calls }: Spy<Args, Return>,
  expected: number,
): void {
  assertEquals(calls.length, expected, `the spy was called ${calls.length} times: ${Deno.inspect(calls)}`);
}

/** @throws {AssertionError} If there was no call of this number, from 0, or if it was another one. */
export function assertSpyCall<Args extends unknown[], Return>(
  { calls }: Spy<Args, Return>,
  index: number,
  expected: { readonly args?: Args; readonly returned?: Return } = {},
): void {
  const call = calls[index];
  if (call === undefined) return assertEquals(calls.length, index + 1, `the spy has no call ${index}`);
  if ("args" in expected) assertEquals(call.args, expected.args);
  if ("returned" in expected) assertEquals(call.returned, expected.returned);
}
