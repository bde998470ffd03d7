import { assertEquals, AssertionError, assertStrictEquals, assertThrows } from "@std/assert";
import { assertSpyCall, assertSpyCalls, returnsNext, spy, stub } from "@std/testing/mock";

Deno.test("spy() does what the function does, and remembers what came of it", () => {
  const odd = new RangeError("odd");
  const half = spy((number: number) => {
    if (number % 2 === 1) throw odd;
    return number / 2;
  });
  assertEquals(half(4), 2);
  assertThrows(() => half(3), RangeError, "odd");
  assertEquals(half.calls, [{ args: [4], returned: 2 }, { args: [3], error: odd }]);
});

Deno.test("spy() without a function returns nothing, whatever it is given", () => {
  const nothing = spy();
  assertEquals(nothing(1, "a"), undefined);
  assertSpyCall(nothing, 0, { args: [1, "a"], returned: undefined });
});

Deno.test("stub() takes a method's place until it is restored", () => {
  const host = { name: "h1", greet: (other: string) => `${other}, not stubbed` };
  const { greet } = host;
  {
    using greeting = stub(host, "greet", function (this: void, other) {
      return `${other}, from ${host.name}`;
    });
    assertEquals(host.greet("h2"), "h2, from h1");
    assertSpyCall(greeting, 0, { args: ["h2"], returned: "h2, from h1" });
  }
  assertStrictEquals(host.greet, greet);
});

Deno.test("stub() leaves no method of an object's own where it was inherited, and is restored once", () => {
  const date = new Date(0);
  const year = stub(date, "getFullYear", () => 1);
  assertEquals(date.getFullYear(), 1);
  year.restore();
  assertEquals([date.getFullYear(), Object.hasOwn(date, "getFullYear")], [1970, false]);
  assertThrows(() => year.restore(), Error, "Cannot restore getFullYear: it is restored already");
});

Deno.test("returnsNext() returns the values in order, throws the errors, and then has no more", () => {
  const next = returnsNext<number>([1, new TypeError("second"), 3]);
  assertEquals(next(), 1);
  assertThrows(() => next(), TypeError, "second");
  assertEquals(next(), 3);
  assertThrows(() => next(), Error, "Cannot return a value: call 4 comes after the last of 3");
});

const wrong: [why: string, assertion: () => void][] = [
  ["there are fewer calls", () => assertSpyCalls(called(1), 2)],
  ["there are more calls", () => assertSpyCalls(called(1, 2), 1)],
  ["there is no such call", () => assertSpyCall(called(1), 1)],
  ["it was given something else", () => assertSpyCall(called(1), 0, { args: [2] })],
  ["it returned something else", () => assertSpyCall(called(1), 0, { args: [1], returned: 2 })],
  ["it returned something", () => assertSpyCall(called(1), 0, { returned: undefined })],
];

for (const [why, assertion] of wrong) {
  Deno.test(`an assertion on a spy fails where ${why}`, () => void assertThrows(assertion, AssertionError));
}

/** A spy that was called with each of these, and returned it. */
function called(...numbers: readonly number[]) {
  const same = spy((number: number): number | undefined => number);
  for (const number of numbers) same(number);
  return same;
}
