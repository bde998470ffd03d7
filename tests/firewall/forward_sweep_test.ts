import { assertEquals, assertLess } from "@std/assert";
import { forwardFate } from "../../src/firewall/forwarded.ts";
import { type ForwardGroup, ForwardSweep } from "../../src/firewall/forward_sweep.ts";
import { formatPrefix, parsePrefix } from "../../src/model/address.ts";
import { maskBytes } from "../../src/nftables/value.ts";
import { bookKey, type WalkedBook } from "../../src/nftables/rule_book.ts";
import { SEED, seededRandom } from "../double/random.ts";
import type { RawRule } from "../../src/nftables/raw_rule.ts";

const CHAIN = { family: 2, table: "f", chain: "forward" };
const LINK = { name: "flannel.1", linkIndex: 8 };

function group(peers: number): ForwardGroup {
  return {
    own: { prefix: parsePrefix("10.244.0.0/24"), link: { name: "cni0", linkIndex: 7 } },
    network: parsePrefix("10.244.0.0/16"),
    link: LINK,
    subnets: Array.from({ length: peers }, (_, at) => parsePrefix(`10.244.${at + 1}.0/24`)),
  };
}

const u32 = (value: number) => Uint8Array.of(value >> 24, value >> 16 & 255, value >> 8 & 255, value & 255);

/** An attribute as the kernel writes it. */
function attribute(type: number, payload: readonly number[]): number[] {
  const length = payload.length + 4;
  return [length & 255, length >> 8, type, 0, ...payload, ...new Array<number>(-payload.length & 3).fill(0)];
}

/** What a rule asks or does, as the kernel says it. */
type Expression = RawRule["expressions"][number];

/** Whether the source or the destination begins with these bits. */
function addressed(
  side: "source" | "destination",
  bytes: readonly number[],
  bits = 8 * bytes.length,
): Expression[] {
  const [at, mask] = [side === "source" ? 12 : 16, maskBytes(bits, bytes.length)];
  const value = (...of: readonly number[]) => Uint8Array.from(attribute(1, of));
  const [length, register] = [u32(bytes.length), u32(8)];
  const ends = bytes.map((byte, index) => byte & mask[index]!);
  return [
    { name: "payload", attributes: new Map([[1, register], [2, u32(1)], [3, u32(at)], [4, length]]) },
    {
      name: "bitwise",
      attributes: new Map([
        [1, register],
        [2, register],
        [3, length],
        [4, value(...mask)],
        [5, value(...bytes.map(() => 0))],
      ]),
    },
    { name: "cmp", attributes: new Map([[1, register], [2, u32(0)], [3, value(...ends)]]) },
  ];
}

/** Asks for what is never known. */
const LIMIT: Expression = { name: "limit", attributes: new Map() };
const DROP = 0;
const ACCEPT = 1;
const JUMP = -3;
const RETURN = -5;

function verdict(code: number, chain?: string): Expression {
  const members = [
    ...attribute(1, [...u32(code)]),
    ...chain === undefined ? [] : attribute(2, [...new TextEncoder().encode(`${chain}\0`)]),
  ];
  return {
    name: "immediate",
    attributes: new Map([[1, u32(0)], [2, Uint8Array.from(attribute(2, members))]]),
  };
}

function ruleOf(...expressions: Expression[]): RawRule {
  return { ...CHAIN, handle: 1n, expressions };
}

/** A rule that drops what is for an address's first bytes. */
function dropping(...destination: number[]): RawRule {
  return ruleOf(...addressed("destination", destination), verdict(DROP));
}

/** A forward chain of these rules, and how often it was played; others that it may jump to, and its policy. */
function bookOf(
  rules: readonly RawRule[],
  others: ReadonlyMap<string, readonly RawRule[]> = new Map(),
  policy: number = ACCEPT,
): { readonly book: WalkedBook; readonly plays: () => number } {
  let plays = 0;
  const base = { type: "filter", hook: 2, priority: 0, policy };
  const get = (key: string) => key === bookKey(CHAIN) ? (plays++, rules) : others.get(key) ?? [];
  return {
    book: { chains: [{ ...CHAIN, base }], rules: { get }, setOf: () => undefined },
    plays: () => plays,
  };
}

function played(book: WalkedBook, groups: readonly ForwardGroup[]): ForwardSweep {
  const sweep = new ForwardSweep(book, groups);
  while (!sweep.isDone) sweep.next();
  return sweep;
}

Deno.test("ForwardSweep plays two packets each way for all peers where no rule tells them apart", () => {
  const { book, plays } = bookOf([dropping(10, 9)]);
  assertEquals(played(book, [group(250)]).refused, []);
  // The first of a connection and an answer, of two protocols.
  assertEquals(plays(), 8);
});

Deno.test("ForwardSweep finds all peers at once where all are refused", () => {
  const { book, plays } = bookOf([dropping(10, 244)]);
  const { refused } = played(book, [group(250)]);
  assertEquals(refused.length, 500);
  // What is new is refused already.
  assertEquals(plays(), 4);
});

Deno.test("ForwardSweep finds one peer among many by halves", () => {
  const { book, plays } = bookOf([dropping(10, 244, 77)]);
  const { refused, isOpen } = played(book, [group(250)]);
  assertEquals(refused.map(({ direction, subnet }) => `${direction} ${formatPrefix(subnet)}`), [
    "out 10.244.77.0/24",
  ]);
  assertEquals(isOpen, false);
  assertLess(plays(), 100);
});

Deno.test("ForwardSweep refuses no peer of which a rule takes some pods", () => {
  const { book } = bookOf([dropping(10, 244, 77, 3)]);
  assertEquals(played(book, [group(250)]).refused, []);
});

Deno.test("ForwardSweep plays the peers behind each link by themselves", () => {
  const { book } = bookOf([dropping(10, 244, 3)]);
  const near = { ...group(0), link: { name: "eth0", linkIndex: 2 }, subnets: [parsePrefix("10.244.3.0/24")] };
  const far = { ...group(0), subnets: [parsePrefix("10.244.4.0/24")] };
  assertEquals(played(book, [near, far]).refused.map(({ subnet }) => formatPrefix(subnet)), [
    "10.244.3.0/24",
  ]);
});

Deno.test("ForwardSweep asks no peer of what a rule does not tell them apart by", () => {
  const limited = ruleOf(...addressed("source", [10, 244, 0, 3]), LIMIT, verdict(DROP));
  const { book, plays } = bookOf([limited, ruleOf(LIMIT, verdict(DROP))]);
  const { refused, isOpen } = played(book, [group(250)]);
  assertEquals([refused, isOpen], [[], false]);
  // One of the own pods may be the source of what is sent, and one of peers' never is.
  assertEquals(plays(), 8);
});

Deno.test(`ForwardSweep finds what playing each peer alone finds (seed ${SEED})`, () => {
  const fraction = seededRandom(SEED);
  const number = (below: number) => Math.floor(fraction() * below);
  const address = () => [10, 244, number(8), number(256)];
  const asked = (side: "source" | "destination") =>
    number(3) > 0 ? [] : addressed(side, address(), [8, 16, 21, 22, 23, 24, 25, 32][number(8)]);
  const rule = (mayJump: boolean) => {
    const does = [DROP, ACCEPT, RETURN, DROP, ...mayJump ? [JUMP, JUMP] : []];
    const code = does[number(does.length)]!;
    const asks = [...asked("source"), ...asked("destination"), ...number(4) > 0 ? [] : [LIMIT]];
    return ruleOf(...asks, verdict(code, code === JUMP ? "other" : undefined));
  };
  const rules = (mayJump: boolean) => Array.from({ length: 1 + number(4) }, () => rule(mayJump));
  let [found, saved] = [0, 0];
  for (let run = 0; run < 1000; run++) {
    const others = new Map([[bookKey({ ...CHAIN, chain: "other" }), rules(false)]]);
    const { book, plays } = bookOf(rules(true), others, [DROP, ACCEPT][number(2)]);
    const peers = group(7);
    const { refused, isOpen } = played(book, [peers]);
    const taken = plays();
    const ends = peers.subnets.flatMap((subnet) => {
      const other = { prefix: subnet, link: LINK };
      return [["out", peers.own, other] as const, ["in", other, peers.own] as const]
        .map(([direction, from, to]) => ({
          key: `${direction} ${formatPrefix(subnet)}`,
          ...forwardFate(book, from, to),
        }));
    });
    const said = refused.map(({ direction, subnet }) => `${direction} ${formatPrefix(subnet)}`).sort();
    const wanted = ends.filter(({ refusal }) => refusal !== undefined).map(({ key }) => key).sort();
    assertEquals(said, wanted, `run ${run}`);
    assertEquals(isOpen, ends.some((fate) => fate.isOpen), `run ${run}: whether some may be refused`);
    found += said.length > 0 && said.length < ends.length ? 1 : 0;
    saved += taken < plays() - taken ? 1 : 0;
  }
  // The rules are such that something is tried.
  assertLess(100, found);
  assertLess(200, saved);
});
