import { assertEquals } from "@std/assert";
import { type ConditionCode, isReady, sentencesOf, severityOf } from "../../src/model/condition.ts";

const of = (...codes: ConditionCode[]) => codes.map((code) => ({ code, sentence: `${code} here` }));

Deno.test("isReady() is true while no condition is blocking", () => {
  const lists = [[], of("other-backend", "vanished-pods"), of("other-backend", "bridge-down")];
  assertEquals(lists.map(isReady), [true, true, false]);
});

Deno.test("sentencesOf() has those of one severity, in their order", () => {
  assertEquals(sentencesOf("degraded", of("bridge-down", "other-backend", "peers-remembered")), [
    "other-backend here",
    "peers-remembered here",
  ]);
});

Deno.test("severityOf() says what the catalogue says of the code", () => {
  assertEquals(of("bridge-down", "other-backend", "vanished-pods").map(severityOf), [
    "blocking",
    "degraded",
    "info",
  ]);
});
