import { assertEquals, assertThrows } from "@std/assert";
import { AF_INET, AF_INET6, parsePrefix } from "../../src/model/address.ts";
import { AttributeReader } from "../../src/netlink/attribute.ts";
import { MESSAGE_HEADER_BYTES, MessageReader, MessageWriter } from "../../src/netlink/message.ts";
import {
  addChain,
  addRule,
  addTable,
  deleteChain,
  deleteRule,
  deleteTable,
  HOOK,
  type NftChange,
  type NftRule,
  POLICY,
} from "../../src/nftables/objects.ts";
import { decodeChain, decodeRule } from "../../src/nftables/dump.ts";
import { expressionsText, type NftExpression } from "../../src/nftables/expression.ts";
import { decodeComment, encodeComment, maskBytes, prefixLength } from "../../src/nftables/value.ts";
import { fromHex } from "../netlink/golden.ts";
import { NFT_REPLIES, NFT_REQUESTS } from "./captures.ts";

const T = { family: AF_INET, table: "t", chain: "c" };
const FORWARD = { family: AF_INET, table: "filter", chain: "FORWARD" };
const FLANNEL = { ...FORWARD, chain: "FLANNEL-FWD" };

const address = (kind: "source" | "destination") => (text: string, isNot = false): NftExpression => ({
  kind,
  prefix: parsePrefix(text),
  isNot,
});
const [from, to] = [address("source"), address("destination")];
const masquerade = (isFullyRandom: boolean): NftExpression => ({ kind: "masquerade", isFullyRandom });
const comment: NftExpression = { kind: "comment", text: "flanneld forward" };
const counter: NftExpression = { kind: "counter" };
const accept: NftExpression = { kind: "verdict", verdict: "accept" };
const keep: NftExpression = { kind: "verdict", verdict: "return" };
const mark: NftExpression = { kind: "mark", value: 0x4000, mask: 0x4000 };

type RuleOf = Omit<NftRule, "handle">;

/** What one request asks for. */
interface Asked {
  readonly change: NftChange;
  readonly rule?: RuleOf;
  /** Which attributes are others than theirs (4 is the expressions, 5 what old kernels ask of compatibility). */
  readonly differs?: { readonly at: readonly string[]; readonly why: string };
}

/** In the order of the captures. */
const asked: readonly Asked[] = [
  {
    change: addTable({ family: AF_INET, table: "loden" }),
    differs: { at: ["2", "header"], why: "nft says that no flags are set, even to make it" },
  },
  { change: deleteTable({ family: AF_INET, table: "loden" }) },
  {
    change: addChain({
      ...T,
      chain: "postrouting",
      base: { type: "nat", hook: HOOK.postrouting, priority: 100, policy: POLICY.accept },
    }),
  },
  { change: addChain({ ...T, chain: "d", base: undefined }) },
  { change: deleteChain({ ...T, chain: "d" }) },
  ruleOf({
    ...T,
    expressions: [from("10.240.0.0/12"), to("224.0.0.0/4", true), masquerade(true)],
    comment: "pods",
  }),
  ruleOf({ ...T, expressions: [mark, keep] }, {
    differs: { at: ["4"], why: "nft names the default operation" },
  }),
  ruleOf({
    ...T,
    family: AF_INET6,
    expressions: [from("fd00:10:244:1000::/52"), to("fd00:10:244:1800::/53", true), masquerade(false)],
  }),
  ruleOf({ ...T, expressions: [to("192.0.2.1/32"), keep] }, { before: 4n }),
  { change: deleteRule({ ...T, handle: 4n }) },
  { change: deleteRule(T) },
  ruleOf({ ...FLANNEL, expressions: [from("10.240.0.0/12"), comment, counter, accept] }, {
    differs: { at: ["4", "5"], why: "iptables says more zeros" },
  }),
  ruleOf({ ...FLANNEL, expressions: [to("10.244.0.0/16"), comment, counter, accept] }, {
    differs: { at: ["4", "5"], why: "iptables loads two bytes, and says more zeros" },
  }),
  ruleOf({
    ...FORWARD,
    expressions: [comment, counter, { kind: "verdict", verdict: "jump", chain: "FLANNEL-FWD" }],
  }, { differs: { at: ["4", "5"], why: "iptables says more zeros" } }),
  ruleOf({
    ...FLANNEL,
    family: AF_INET6,
    expressions: [from("fd00:10:240::/44"), comment, counter, accept],
  }, { differs: { at: ["4", "5"], why: "iptables says more zeros" } }),
  ruleOf({
    family: AF_INET,
    table: "nat",
    chain: "POSTROUTING",
    expressions: [
      from("10.240.0.0/12"),
      to("224.0.0.0/4", true),
      counter,
      { kind: "other", name: "target MASQUERADE" },
    ],
  }),
];

/** A rule that is added, as far as it can be written: foreign ones are only read. */
function ruleOf(rule: RuleOf, { before, differs }: { before?: bigint } & Pick<Asked, "differs"> = {}): Asked {
  return { change: addRule(rule, before), rule, ...differs !== undefined && { differs } };
}

/** Our message for a change, as the captures have it: request number 1, and no port ID. */
function encoded(change: NftChange): Uint8Array<ArrayBuffer> {
  const writer = new MessageWriter();
  change(writer, 1);
  return writer.bytes;
}

/** The top attributes of a message, whatever their order. */
function attributesOf(bytes: Uint8Array): Record<string, string> {
  const start = MESSAGE_HEADER_BYTES + 4;
  const reader = new AttributeReader(new DataView(bytes.buffer, bytes.byteOffset), start, bytes.length);
  const fields: Record<string, string> = {
    header: bytes.subarray(4, 8).toHex() + bytes.subarray(16, 20).toHex(),
  };
  while (reader.next()) fields[reader.type] = bytes.subarray(reader.start, reader.end).toHex();
  return fields;
}

function ruleIn(bytes: Uint8Array): NftRule | undefined {
  const reader = new MessageReader(bytes);
  reader.reset(bytes.length);
  reader.next();
  return decodeRule(reader);
}

NFT_REQUESTS.forEach(({ command, wire }, index) => {
  const { change, differs, rule } = asked[index]!;
  const but = differs === undefined ? "" : `, but ${differs.why}`;
  const isForeign = rule?.expressions.some(({ kind }) => kind === "other") === true;
  if (!isForeign) {
    Deno.test(`the request of \`${command}\` is ours${but}`, () => {
      const [theirs, ours] = [attributesOf(fromHex(wire)), attributesOf(encoded(change))];
      if (differs === undefined) assertEquals(ours, theirs);
      else {
        const others = Object.keys({ ...theirs, ...ours }).filter((name) => ours[name] !== theirs[name]);
        assertEquals(others, differs.at, "where it differs");
      }
    });
  }
  if (rule !== undefined) {
    Deno.test(`decodeRule() reads what \`${command}\` asks for${isForeign ? "" : ", and what we do"}`, () => {
      for (const bytes of isForeign ? [fromHex(wire)] : [fromHex(wire), encoded(change)]) {
        const { comment, expressions, handle, ...place } = ruleIn(bytes)!;
        assertEquals({ ...place, comment, handle }, {
          family: rule.family,
          table: rule.table,
          chain: rule.chain,
          comment: rule.comment,
          handle: 0n,
        });
        assertEquals(expressionsText(expressions), expressionsText(rule.expressions));
      }
    });
  }
});

Deno.test("a list of rules is read as nft(8) lists it, by any program's hand", () => {
  const bytes = fromHex(NFT_REPLIES);
  const reader = new MessageReader(bytes);
  reader.reset(bytes.length);
  const said: string[] = [];
  while (reader.next()) {
    const [chain, rule] = [decodeChain(reader), decodeRule(reader)];
    if (chain !== undefined) {
      const { family, table, base } = chain;
      const hook = base && `${base.type} ${base.hook} ${base.priority} ${base.policy}`;
      said.push(`chain ${family} ${table} ${chain.chain}: ${hook}`);
    }
    if (rule !== undefined) {
      const words = rule.expressions.map((expression) =>
        "name" in expression ? expression.name : expression.kind
      );
      said.push(
        `rule ${rule.handle} ${rule.family} ${rule.table} ${rule.chain}: ${
          words.join(", ")
        }; ${rule.comment}`,
      );
    }
  }
  assertEquals(said, [
    "chain 2 t c: nat 4 100 1",
    "chain 2 t postrouting: nat 4 100 1",
    "chain 10 t c: nat 4 100 1",
    "chain 2 filter FLANNEL-FWD: undefined",
    "chain 2 filter FORWARD: filter 2 0 1",
    "chain 10 filter FLANNEL-FWD: undefined",
    "chain 2 nat POSTROUTING: nat 4 100 1",
    "rule 7 2 t c: protocol, port, counter; undefined",
    "rule 9 2 t c: lookup; x",
    "rule 2 2 filter FLANNEL-FWD: source, comment, counter, verdict; undefined",
    "rule 3 2 filter FLANNEL-FWD: destination, comment, counter, verdict; undefined",
    "rule 5 2 filter FORWARD: comment, counter, verdict; undefined",
    "rule 6 2 filter FORWARD: counter, target REJECT; undefined",
    "rule 2 2 nat POSTROUTING: source, destination, counter, target MASQUERADE; undefined",
    "rule 2 10 t c: source, destination, masquerade; undefined",
    "rule 2 10 filter FLANNEL-FWD: source, comment, counter, verdict; undefined",
  ]);
});

Deno.test("an expression that is not ours is refused, not written wrong", () => {
  const change = addRule({ ...T, expressions: [{ kind: "other", name: "lookup" }] });
  assertThrows(() => encoded(change), TypeError, "Cannot encode expression lookup");
});

const masks: [bytes: number[], length: number | undefined, why: string][] = [
  [[0xff, 0xff, 0, 0], 16, "whole bytes"],
  [[0xff, 0xf0, 0, 0], 12, "part of a byte"],
  [[0, 0, 0, 0], 0, "no bit"],
  [[0xff, 0xff, 0xff, 0xff], 32, "every bit"],
  [[0xff, 0, 0xff, 0], undefined, "a hole"],
  [[0x7f, 0, 0, 0], undefined, "it does not begin with a one"],
];

for (const [bytes, length, why] of masks) {
  Deno.test(`prefixLength() of a mask is ${length}: ${why}`, () => {
    assertEquals(prefixLength(Uint8Array.from(bytes)), length);
    if (length !== undefined) assertEquals([...maskBytes(length, 4)], bytes);
  });
}

Deno.test("a comment goes into user data and comes back, among other data and cut to what nft(8) takes", () => {
  assertEquals(decodeComment(encodeComment("pods to the outside")), "pods to the outside");
  assertEquals(decodeComment(Uint8Array.of(1, 2, 9, 9, ...encodeComment("behind"))), "behind");
  assertEquals(decodeComment(Uint8Array.of(1, 2, 9, 9)), undefined);
  assertEquals(encodeComment("x".repeat(300)).length, 2 + 128);
});
