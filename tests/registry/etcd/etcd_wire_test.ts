import { assert, assertEquals } from "@std/assert";
import {
  entryOf,
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

Deno.test("rangeSchema reads an answer with keys, and one without any", () => {
  assertEquals(rangeSchema.parse(JSON.parse(NONE)).kvs, undefined);
  assertEquals(rangeSchema.parse(JSON.parse(ONE)).kvs!.map(entryOf), [
    { key: "/a", value: "x", modRevision: 2, createRevision: 2, lease: "0" },
  ]);
});

const strangers: [what: string, answer: unknown][] = [
  ["no object", 7],
  ["an object of something else", { hello: 1 }],
  ["keys that are no list", { header: {}, kvs: "x" }],
  ["a revision that is a number", { header: { revision: 7 } }],
  ["a key without a name", { header: {}, kvs: [{ value: "eA==" }] }],
];

for (const [what, answer] of strangers) {
  Deno.test(`rangeSchema takes ${what} for no answer of etcd's`, () => {
    assert(!rangeSchema.safeParse(answer).success);
  });
}

/** The second line of `curl -N -d '{"create_request":{"key":"L2E=","start_revision":"2"}}' localhost:2379/v3/watch`. */
const EVENTS =
  '{"result":{"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437","revision":"3","raft_term":"2"},' +
  '"events":[{"kv":{"key":"L2E=","create_revision":"2","mod_revision":"2","version":"1","value":"eA=="}},' +
  '{"type":"DELETE","kv":{"key":"L2E=","mod_revision":"3"}}]}}';

Deno.test("watchSchema reads a write, whose type the gateway leaves out, and a deletion", () => {
  const { result } = watchSchema.parse(JSON.parse(EVENTS));
  assertEquals(result!.events!.map(({ type, kv }) => [type, entryOf(kv).modRevision]), [
    [undefined, 2],
    ["DELETE", 3],
  ]);
});
