import { assertEquals, assertLess } from "@std/assert";
import { type ForwardGroup, ForwardSweep } from "../../src/firewall/forward_sweep.ts";
import { formatPrefix, parsePrefix } from "../../src/model/address.ts";
import { bookKey, type WalkedBook } from "../../src/nftables/packet_walk.ts";
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

/** A rule that drops what is for an address's first bytes. */
function dropping(...destination: number[]): RawRule {
  return {
    ...CHAIN,
    handle: 1n,
    expressions: [
      {
        name: "payload",
        attributes: new Map([[1, u32(8)], [2, u32(1)], [3, u32(16)], [4, u32(destination.length)]]),
      },
      {
        name: "cmp",
        attributes: new Map([
          [1, u32(8)],
          [2, u32(0)],
          [3, Uint8Array.from(attribute(1, destination))],
        ]),
      },
      {
        name: "immediate",
        attributes: new Map([
          [1, u32(0)],
          [2, Uint8Array.from(attribute(2, attribute(1, [0, 0, 0, 0])))],
        ]),
      },
    ],
  };
}

/** A forward chain of these rules, and how often it was played. */
function bookOf(...rules: RawRule[]): { readonly book: WalkedBook; readonly plays: () => number } {
  let plays = 0;
  const base = { type: "filter", hook: 2, priority: 0, policy: 1 };
  const get = (key: string) => key === bookKey(CHAIN) ? (plays++, rules) : [];
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
  const { book, plays } = bookOf(dropping(10, 9));
  assertEquals(played(book, [group(250)]).refused, []);
  // The first of a connection and an answer, of two protocols.
  assertEquals(plays(), 8);
});

Deno.test("ForwardSweep finds all peers at once where all are refused", () => {
  const { book, plays } = bookOf(dropping(10, 244));
  const { refused } = played(book, [group(250)]);
  assertEquals(refused.length, 500);
  // What is new is refused already.
  assertEquals(plays(), 4);
});

Deno.test("ForwardSweep finds one peer among many by halves", () => {
  const { book, plays } = bookOf(dropping(10, 244, 77));
  const { refused, isOpen } = played(book, [group(250)]);
  assertEquals(refused.map(({ direction, subnet }) => `${direction} ${formatPrefix(subnet)}`), [
    "out 10.244.77.0/24",
  ]);
  assertEquals(isOpen, false);
  assertLess(plays(), 100);
});

Deno.test("ForwardSweep refuses no peer of which a rule takes some pods", () => {
  const { book } = bookOf(dropping(10, 244, 77, 3));
  assertEquals(played(book, [group(250)]).refused, []);
});

Deno.test("ForwardSweep plays the peers behind each link by themselves", () => {
  const { book } = bookOf(dropping(10, 244, 3));
  const near = { ...group(0), link: { name: "eth0", linkIndex: 2 }, subnets: [parsePrefix("10.244.3.0/24")] };
  const far = { ...group(0), subnets: [parsePrefix("10.244.4.0/24")] };
  assertEquals(played(book, [near, far]).refused.map(({ subnet }) => formatPrefix(subnet)), [
    "10.244.3.0/24",
  ]);
});
