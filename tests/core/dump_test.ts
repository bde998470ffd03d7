import { assertEquals, assertGreater } from "@std/assert";
import { openRowTaker, type RowTaker } from "../../src/core/dump.ts";
import { LITTLE_ENDIAN } from "../../src/linux/byte_order.ts";
import { AF_INET, AF_INET6, parseAddress, parseMac, parsePrefix } from "../../src/model/address.ts";
import { FDB, NEIGHBOUR, ROUTE } from "../../src/model/rows.ts";
import type { DesiredState, ObservedTables, VxlanLink } from "../../src/model/state.ts";
import { type RowLayout, Table } from "../../src/model/table.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import {
  MESSAGE_HEADER_BYTES,
  MessageWriter,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
} from "../../src/netlink/message.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";
import { Observer } from "../../src/reconcile/observe.ts";
import { damaged, type Random, type Sample, samples } from "../netlink/damage.ts";
import { pick, SEED, seededRandom } from "../double/random.ts";

const ROUNDS = 4000;

const VTEP_4: VxlanLink = {
  kind: "vxlan",
  name: "flannel.1",
  vni: 1,
  port: 8472,
  mtuBytes: 1450,
  mac: parseMac("0e:2a:00:00:00:01"),
  local: parseAddress("192.0.2.1"),
  underlayLinkIndex: 2,
  learning: false,
  gbp: false,
};
const VTEP_6: VxlanLink = { ...VTEP_4, name: "flannel-v6.1", local: parseAddress("2001:db8::1") };
const LINK_INDEXES = [5, 7, 2];
const STATE: Pick<DesiredState, "links" | "networks"> = {
  links: [VTEP_4, VTEP_6, { kind: "underlay", name: "eth0" }],
  networks: ["10.244.0.0/16", "10.128.0.0/9", "fd00:10:244::/48"].map(parsePrefix),
};

type Fraction = () => number;
/** What a random attribute's payload is made of. */
type Payload = Uint8Array<ArrayBuffer>;

function bytesOf(text: string): Payload {
  return Uint8Array.fromHex(text);
}

function u32(value: number): Payload {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

const ADDRESSES_4 = ["0af40100", "0af40200", "0af50100", "0ac80300", "c0000209", "00000000"].map(bytesOf);
const ADDRESSES_6 = ["fd0000100244", "fd0000100245", "20010db80000"].map((head) =>
  bytesOf(head.padEnd(32, "0"))
);
const MACS = ["0e2a00000002", "ff00ffff80ff"].map(bytesOf);
const ODD = ["", "01", "0a2c0100ff", "0102030405060708", "ff".repeat(17)].map(bytesOf);
/** A header of `RTAX_MTU`, and of another metric. */
const [MTU, OTHER_METRIC] = ["08000200", "08000300"].map((header) => [...bytesOf(header), ...u32(1400)]);

/** Mostly what the kernel says there, and now and then anything else. */
function mostly(random: Fraction, usual: readonly Payload[]): Payload {
  return random() < 0.02
    ? pick(random, [...ODD, ...ADDRESSES_4, ...ADDRESSES_6, ...MACS])
    : pick(random, usual);
}

function metrics(random: Fraction): Payload {
  const others = [[], MTU!, OTHER_METRIC!, [9, 0, 2, 0]];
  const parts = random() < 0.8 ? [MTU!] : [pick(random, others), pick(random, others)];
  return Uint8Array.from(parts.flat());
}

function nextHops(random: Fraction): Payload {
  const hop = (linkIndex: number, gateway: Payload) => [
    ...new Uint8Array(new Uint16Array([12 + gateway.length]).buffer),
    pick(random, [0, 4]),
    0,
    ...u32(linkIndex),
    ...new Uint8Array(new Uint16Array([4 + gateway.length, 5]).buffer),
    ...gateway,
  ];
  const gateways = pick(random, [ADDRESSES_4, ADDRESSES_6]);
  return Uint8Array.from(
    [hop(5, pick(random, gateways)), hop(pick(random, [2, 7, 9]), pick(random, gateways))].flat(),
  );
}

/** Writes one route of the kernel's: mostly ours, often others', sometimes none at all. */
function writeRoute(writer: MessageWriter, random: Fraction, family: number): void {
  const addresses = family === AF_INET ? ADDRESSES_4 : ADDRESSES_6;
  const rarely = (usual: number, odd: readonly number[]) => random() < 0.95 ? usual : pick(random, odd);
  writer.u8(rarely(family, [0, 2, 7, 10]));
  writer.u8(pick(random, family === AF_INET ? [24, 24, 16, 8, 0, 32, 255] : [64, 64, 48, 47, 128]));
  writer.u8(rarely(0, [24]));
  writer.u8(rarely(0, [8]));
  writer.u8(rarely(254, [255, 252]));
  writer.u8(pick(random, [76, 76, 76, 76, 3, 2]));
  writer.u8(pick(random, [0, 253]));
  writer.u8(rarely(1, [6, 7]));
  writer.u32(rarely(pick(random, [0, 4]), [0x200, 16]));
  const optional = (chance: number, type: number, payload: () => Payload) => {
    if (random() < chance) writer.attributeBytes(type, payload());
  };
  optional(1, 15, () => u32(254));
  optional(0.95, 1, () => mostly(random, addresses));
  optional(0.5, 6, () => mostly(random, [u32(100), u32(0x8000_0001)]));
  optional(0.9, 5, () => mostly(random, addresses));
  optional(0.9, 4, () => mostly(random, [5, 5, 7, 2, 9, 0].map(u32)));
  optional(0.1, 8, () => metrics(random));
  optional(0.05, 9, () => nextHops(random));
  optional(0.05, 30, () => mostly(random, [u32(0), u32(8)]));
  optional(0.05, pick(random, [7, 12, 18, 20, 0x4000 | 5, 0x8001]), () => mostly(random, ADDRESSES_4));
}

/** Writes one neighbour or FDB entry, mostly one of interest. */
function writeEntry(writer: MessageWriter, random: Fraction, family: number): void {
  const rarely = (usual: number, odd: readonly number[]) => random() < 0.95 ? usual : pick(random, odd);
  writer.u32(rarely(family, [2, 7, 10]));
  writer.u32(rarely(pick(random, [5, 7]), [0, 2, 9, 0xffff_fffb]));
  writer.u16(rarely(0x80, [0x40, 0xc0, 2, 0x20]));
  writer.u8(family === 7 ? rarely(2, [4, 0x12]) : rarely(0, [2]));
  writer.u8(1);
  const addresses = family === AF_INET6 || random() < 0.3 ? ADDRESSES_6 : ADDRESSES_4;
  if (random() < 0.95) writer.attributeBytes(1, mostly(random, addresses));
  if (random() < 0.95) writer.attributeBytes(2, mostly(random, MACS));
  if (random() < 0.05) writer.attributeBytes(pick(random, [1, 2, 6, 7, 8, 13]), mostly(random, [u32(8)]));
  if (random() < 0.5) writer.attributeBytes(3, new Uint8Array(16));
}

const KINDS: Readonly<Record<string, readonly [type: number, write: typeof writeRoute, family: number]>> = {
  routes4: [24, writeRoute, AF_INET],
  routes6: [24, writeRoute, AF_INET6],
  neighbours4: [28, writeEntry, AF_INET],
  neighbours6: [28, writeEntry, AF_INET6],
  fdb: [28, writeEntry, 7],
};

/** One datagram of answers to `sequence`, a few of them marked or for others. */
function datagramOf(kind: string, random: Fraction, sequence: number): Payload {
  const [type, write, family] = KINDS[kind]!;
  const writer = new MessageWriter();
  const count = Math.floor(random() * 12);
  for (let index = 0; index < count; index++) {
    const flags = random() < 0.005 ? NLM_F_DUMP_INTR : 2;
    writer.begin(random() < 0.98 ? type : pick(random, [16, 20, 25]), flags, random() < 0.97 ? sequence : 77);
    write(writer, random, family);
    writer.end();
  }
  return writer.bytes.slice();
}

function doneOf(sequence: number): Payload {
  const writer = new MessageWriter();
  writer.begin(NLMSG_DONE, 2, sequence);
  writer.u32(0);
  writer.end();
  return writer.bytes.slice();
}

/** A kernel that answers each request with what `answer` makes for it. */
function answering(
  answer: (type: number, family: number, sequence: number) => readonly Payload[],
): NetlinkTransport {
  let waiting: Payload[] = [];
  return {
    portId: 1,
    send(batch) {
      const view = new DataView(batch.buffer, batch.byteOffset);
      const family = view.getUint8(MESSAGE_HEADER_BYTES);
      waiting = [...answer(view.getUint16(4, LITTLE_ENDIAN), family, view.getUint32(8, LITTLE_ENDIAN))];
    },
    receive(buffer) {
      const datagram = waiting.shift();
      if (datagram === undefined) return 0;
      buffer.set(datagram);
      return datagram.length;
    },
    [Symbol.dispose]() {},
  };
}

/** Everything that one look makes of the kernel's answers, as text. */
function said(observer: Observer): string {
  const errors: string[] = [];
  const tables = observer.tables(STATE, LINK_INDEXES, (family, error) => errors.push(`${family} ${error}`));
  const names = ["routes", "foreignRoutes", "neighbours", "fdb"] as const;
  return [...errors, ...names.map((name: keyof ObservedTables) => `${name} ${tables[name].words.join()}`)]
    .join("\n");
}

function kindOf(type: number, family: number): string {
  return type === 26
    ? `routes${family === AF_INET ? 4 : 6}`
    : family === 7
    ? "fdb"
    : `neighbours${family === AF_INET ? 4 : 6}`;
}

/** Compares what two observers make of the same answers, the core's and the plain one's. */
function compare(
  rounds: number,
  datagrams: (kind: string, random: Fraction, sequence: number) => readonly Payload[],
): number {
  let round = 0;
  const transport = () =>
    answering((type, family, sequence) => {
      // Both are asked with the same numbers, and so are their answers the same.
      const random = seededRandom(SEED ^ Math.imul(round + 1, 0x9e37_79b1) ^ sequence);
      return datagrams(kindOf(type, family), random, sequence);
    });
  const [core, plain] = [false, true].map((isPlain) =>
    new Observer(new NetlinkClient(transport()), { isPlain })
  );
  let rows = 0;
  for (; round < rounds; round++) {
    const [answer, expected] = [said(core!), said(plain!)];
    if (answer !== expected) assertEquals(answer, expected, `LODEN_SEED=${SEED}, round ${round}`);
    rows += expected.length;
  }
  return rows;
}

Deno.test(`the core makes of ${ROUNDS} random looks at the kernel what the plain decoders make of them`, () => {
  const length = compare(ROUNDS, (kind, random, sequence) => {
    const count = Math.floor(random() * 4);
    return [...Array.from({ length: count }, () => datagramOf(kind, random, sequence)), doneOf(sequence)];
  });
  assertGreater(length / ROUNDS, 500, "most looks must find rows");
});

Deno.test(`the core makes of ${ROUNDS} damaged looks what the plain decoders make of them, errors too`, () => {
  const captured = samples();
  compare(ROUNDS, (kind, fraction, sequence) => {
    const random: Random = (limit) => Math.floor(fraction() * limit);
    const own = Array.from(
      { length: 4 },
      (): Sample => ({ bytes: datagramOf(kind, fraction, sequence), attributes: [28, 36, 44] }),
    );
    const all = own.filter(({ bytes }) => bytes.length > 0);
    const datagram = damaged(random, [...all, ...all, ...captured]);
    return [datagram.slice(0, 60_000), ...fraction() < 0.8 ? [doneOf(sequence)] : []];
  });
});

const plain: [kind: "routes" | "neighbours" | "fdb", layout: RowLayout, name: string][] = [
  ["routes", ROUTE, "routes4"],
  ["routes", ROUTE, "routes6"],
  ["neighbours", NEIGHBOUR, "neighbours4"],
  ["neighbours", NEIGHBOUR, "neighbours6"],
  ["fdb", FDB, "fdb"],
];

function open(kind: "routes" | "neighbours" | "fdb", layout: RowLayout): { taker: RowTaker; table: Table } {
  const table = new Table(layout);
  const taker = openRowTaker(kind, table, { linkIndexes: LINK_INDEXES, networks: STATE.networks });
  if (taker === undefined) throw new Error("Cannot open the window of the core");
  return { taker, table };
}

for (const [kind, layout, name] of plain) {
  Deno.test(`the core takes what is plain of random ${name} by itself`, () => {
    const random = seededRandom(SEED);
    const { taker, table } = open(kind, layout);
    for (let round = 0; round < 1000; round++) {
      const datagram = datagramOf(name, random, 1);
      taker.buffer.set(datagram);
      let at = 0;
      while ((at = taker.take(at, datagram.length, 1)) < datagram.length) {
        const view = new DataView(taker.buffer.buffer, taker.buffer.byteOffset);
        at += view.getUint32(at, LITTLE_ENDIAN) + 3 & ~3;
      }
    }
    assertGreater(table.count, 500, `LODEN_SEED=${SEED}`);
  });
}

Deno.test("the core has room for a row of each message of the longest datagram", () => {
  const table = new Table(ROUTE);
  const message = bytesOf("1c000000180002000100000000000000" + "02180000fe4c000100000000");
  const everything = openRowTaker("routes", table, {
    linkIndexes: [],
    networks: [parsePrefix("0.0.0.0/0")],
  })!;
  const count = Math.floor(everything.buffer.length / message.length);
  for (let index = 0; index < count; index++) everything.buffer.set(message, index * message.length);
  assertEquals(everything.take(0, count * message.length, 1), count * message.length);
  assertEquals(table.count, count);
  assertEquals(everything.take(0, count * message.length, 1), count * message.length);
  assertEquals(table.count, 2 * count);
});

Deno.test("the core passes by nothing behind the end of its buffer", () => {
  const { taker, table } = open("fdb", FDB);
  assertEquals(taker.take(0, taker.buffer.length + 1, 1), 0);
  assertEquals(table.count, 0);
});

const tooMuch: [what: string, links: number[], networks: string[]][] = [
  ["17 cluster networks", [5], Array.from({ length: 17 }, (_, index) => `10.${index}.0.0/16`)],
  ["65 links", Array.from({ length: 65 }, (_, index) => index + 1), ["10.0.0.0/8"]],
  ["a link that is yet to be made", [0xffff_ffff], ["10.0.0.0/8"]],
];

for (const [what, linkIndexes, networks] of tooMuch) {
  Deno.test(`openRowTaker() leaves all to the plain decoders where there is ${what}`, () => {
    const facts = { linkIndexes, networks: networks.map(parsePrefix) };
    assertEquals(openRowTaker("routes", new Table(ROUTE), facts), undefined);
  });
}
