import { assert, assertEquals } from "@std/assert";
import { JsonSieve, type Kept } from "../../../src/registry/http/json_sieve.ts";
import {
  behindKey,
  entriesSchema,
  entryOf,
  eventsSchema,
  KEPT_OF_RANGE,
  KEPT_OF_WATCH,
  MAX_TEXT_BYTES,
  rangeEnd,
  rangeSchema,
  toBase64,
  watchSchema,
} from "../../../src/registry/etcd/etcd_wire.ts";

const ends: [prefix: string, end: string][] = [
  ["/coreos.com/network/subnets/", "/coreos.com/network/subnets0"],
  ["/", "0"],
  ["a", "b"],
];

for (const [prefix, end] of ends) {
  Deno.test(`rangeEnd() ends the keys that begin with ${prefix} before ${end}`, () => {
    assertEquals(rangeEnd(prefix), end);
  });
}

Deno.test("entryOf() fills in what the gateway leaves out because it is zero", () => {
  assertEquals(entryOf({ key: toBase64("k") }), {
    key: "k",
    value: "",
    modRevision: 0,
    createRevision: 0,
    lease: "0",
  });
});

Deno.test("entryOf() keeps a lease's name as text, since a number would lose its last digits", () => {
  const { lease, modRevision } = entryOf({ key: "aw==", mod_revision: "42", lease: "7587870543528943618" });
  assertEquals([lease, modRevision], ["7587870543528943618", 42]);
});

Deno.test("entryOf() reads bytes that are no text as what is no JSON either", () => {
  assertEquals(entryOf({ key: "aw==", value: "//4=" }).value, "\ufffd\ufffd");
});

/** Answers of etcd 3.4.23 (Debian), before and after a write, by `curl -d '{"key":"L2E="}' localhost:2379/v3/kv/range`. */
const NONE =
  '{"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437","revision":"1","raft_term":"2"}}';
const ONE =
  '{"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437","revision":"2","raft_term":"2"},' +
  '"kvs":[{"key":"L2E=","create_revision":"2","mod_revision":"2","version":"1","value":"eA=="}],"count":"1"}';

/** What the sieve leaves of an answer, and the elements of its list. */
function sift(kept: Kept, text: string): { document: unknown; elements: unknown[] } {
  const elements: unknown[] = [];
  let document: unknown;
  const sieve = new JsonSieve(kept, {
    document: (value) => document = value,
    element: (value) => elements.push(value),
  }, { maxKeptBytes: MAX_TEXT_BYTES, cuts: true });
  sieve.write(new TextEncoder().encode(text));
  return { document, elements };
}

Deno.test("rangeSchema reads an answer with keys, and one without any", () => {
  const none = sift(KEPT_OF_RANGE, NONE);
  const header = { clusterId: "14841639068965178418", revision: 1 };
  assertEquals([rangeSchema.parse(none.document).header, none.elements], [header, []]);
  const one = sift(KEPT_OF_RANGE, ONE);
  assertEquals(rangeSchema.parse(one.document).count, "1");
  assertEquals(entriesSchema.parse(one.elements).map(entryOf), [
    { key: "/a", value: "x", modRevision: 2, createRevision: 2, lease: "0" },
  ]);
});

Deno.test("entryOf() knows how long a value is of which only the head was kept", () => {
  const long = "x".repeat(1_400_001);
  const { elements } = sift(KEPT_OF_RANGE, ONE.replace('"eA=="', `"${toBase64(long)}"`));
  const [entry] = entriesSchema.parse(elements).map(entryOf);
  assertEquals([entry!.key, Math.abs(entry!.cutBytes! - long.length) < 3], ["/a", true]);
});

const behind: [key: Parameters<typeof behindKey>[0], next: string | undefined, why: string][] = [
  [toBase64("/a"), toBase64("/a\0"), "the next possible key"],
  [{ length: 9000, head: toBase64("/ab") }, toBase64("/ac"), "all that begin so are passed over"],
  [{ length: 9000, head: "Yf//" }, "Yg==", "the last byte that can be larger is"],
  [{ length: 9000, head: "////" }, undefined, "there is none behind it"],
];

for (const [key, next, why] of behind) {
  Deno.test(`behindKey() begins at ${next}, behind ${JSON.stringify(key)}: ${why}`, () => {
    assertEquals(behindKey(key), next);
  });
}

const strangers: [what: string, answer: unknown][] = [
  ["no object", 7],
  ["an object of something else", { hello: 1 }],
  ["a revision that is a number", { header: { revision: 7 } }],
];

for (const [what, answer] of strangers) {
  Deno.test(`rangeSchema takes ${what} for no answer of etcd's`, () => {
    assert(!rangeSchema.safeParse(answer).success);
  });
}

Deno.test("entriesSchema takes a key without a name for no answer of etcd's", () => {
  assert(!entriesSchema.safeParse([{ value: "eA==" }]).success);
});

/** The second line of `curl -N -d '{"create_request":{"key":"L2E=","start_revision":"2"}}' localhost:2379/v3/watch`. */
const EVENTS =
  '{"result":{"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437","revision":"3","raft_term":"2"},' +
  '"events":[{"kv":{"key":"L2E=","create_revision":"2","mod_revision":"2","version":"1","value":"eA=="}},' +
  '{"type":"DELETE","kv":{"key":"L2E=","mod_revision":"3"}}]}}';

Deno.test("eventsSchema reads a write, whose type the gateway leaves out, and a deletion", () => {
  const { document, elements } = sift(KEPT_OF_WATCH, EVENTS);
  assertEquals(watchSchema.parse(document).result!.header.revision, 3);
  assertEquals(eventsSchema.parse(elements).map(({ type, kv }) => [type, entryOf(kv).modRevision]), [
    [undefined, 2],
    ["DELETE", 3],
  ]);
});
