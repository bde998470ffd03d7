import { assertEquals } from "@std/assert";
import { FDB, NEIGHBOUR, ROUTE } from "../../src/model/rows.ts";
import { Table } from "../../src/model/table.ts";
import { decodeAddress } from "../../src/rtnetlink/address.ts";
import { DumpInterruptedError, NetlinkClient, type WriteRequest } from "../../src/netlink/client.ts";
import { NetlinkError } from "../../src/linux/errno.ts";
import { decodeLink } from "../../src/rtnetlink/link.ts";
import { decodeCounters } from "../../src/rtnetlink/link_counters.ts";
import { LinkSlots } from "../../src/rtnetlink/link_slots.ts";
import { AttributeReader } from "../../src/netlink/attribute.ts";
import { align4, MESSAGE_HEADER_BYTES, MessageReader, NLM_F_DUMP } from "../../src/netlink/message.ts";
import { LITTLE_ENDIAN } from "../../src/linux/byte_order.ts";
import { decodeNextHop } from "../../src/rtnetlink/next_hop.ts";
import { decodeRule } from "../../src/rtnetlink/rule.ts";
import { decodeTableRoute } from "../../src/rtnetlink/table_route.ts";
import { decodeDefaultRoute, decodeRouteLookup } from "../../src/rtnetlink/route_lookup.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";
import { SEED, seededRandom } from "../double/random.ts";
import { CAPTURES } from "./captures.ts";
import { damaged, type Random, samples } from "./damage.ts";
import { fromHex, setSequence } from "./golden.ts";
import { neighbourCodec } from "../../src/rtnetlink/neighbour.ts";
import { routeCodec } from "../../src/rtnetlink/route.ts";
import { fdbCodec } from "../../src/rtnetlink/fdb.ts";

const DECODER_ROUNDS = 100_000;
const CLIENT_ROUNDS = 100_000;

/** Bytes before and behind a datagram. */
const MARGIN = 128;

/** A datagram in the middle of a buffer, at its own offset 0, with `canary` all around. */
function surrounded(datagram: Uint8Array, canary: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(datagram.length + 2 * MARGIN).fill(canary);
  bytes.set(datagram, MARGIN);
  return bytes.subarray(MARGIN);
}

/** What a thrown error says; only kinds that decoders may throw. */
function excuse(error: unknown): string {
  const isExpected = error instanceof SyntaxError || error instanceof NetlinkError ||
    error instanceof DumpInterruptedError;
  if (!isExpected) throw error;
  return `${error}`;
}

const slots = new LinkSlots([5, 2, 7]);

/** Everything that decoders make of the first `length` bytes, as text. */
function decodeAll(bytes: Uint8Array, length: number): string {
  const said: string[] = [];
  const message = new MessageReader(bytes);
  const attributes = new AttributeReader(message.view);
  const tables = [new Table(ROUTE, 4), new Table(NEIGHBOUR, 4), new Table(FDB, 4)];
  const [routes, neighbours, fdb] = tables as [Table, Table, Table];
  const attempt = (decode: () => unknown) => {
    try {
      const value = decode();
      if (value !== undefined) {
        said.push(JSON.stringify(value, (_, field) => typeof field === "bigint" ? `${field}n` : field));
      }
    } catch (error) {
      said.push(excuse(error));
    }
  };
  attempt(() => {
    message.reset(length);
    while (message.next()) {
      attempt(() => decodeLink(message));
      attempt(() => decodeCounters(message));
      attempt(() => decodeAddress(message));
      attempt(() => decodeDefaultRoute(message));
      attempt(() => decodeRouteLookup(message));
      attempt(() => routeCodec.decode(message, attributes, slots, routes));
      attempt(() => decodeRule(message));
      attempt(() => decodeTableRoute(message));
      attempt(() => decodeNextHop(message));
      attempt(() => neighbourCodec.decode(message, attributes, slots, neighbours));
      attempt(() => fdbCodec.decode(message, attributes, slots, fdb));
    }
  });
  for (const table of tables) said.push(table.words.join());
  return said.join("\n");
}

/** Runs `round` for every damaged datagram and says how to repeat a failure. */
function fuzz(rounds: number, round: (random: Random, datagram: Uint8Array<ArrayBuffer>) => void): void {
  const fraction = seededRandom(SEED);
  const random: Random = (limit) => Math.floor(fraction() * limit);
  const all = samples();
  for (let count = 0; count < rounds; count++) {
    const datagram = damaged(random, all);
    try {
      round(random, datagram);
    } catch (error) {
      throw new Error(`LODEN_SEED=${SEED}, round ${count}: ${datagram.toHex()}`, { cause: error });
    }
  }
}

Deno.test(`decoders answer ${DECODER_ROUNDS} damaged datagrams with a value or a SyntaxError, and read nothing else`, () => {
  fuzz(DECODER_ROUNDS, (_, datagram) => {
    const said = decodeAll(surrounded(datagram, 0x00), datagram.length);
    const again = decodeAll(surrounded(datagram, 0xff), datagram.length);
    if (said !== again) assertEquals(again, said, "what surrounds the datagram makes a difference");
  });
});

/** A transport that answers every request with the datagrams of `answers`, `canary` behind each. */
function answering(answers: { datagrams: readonly Uint8Array[] }, canary: number): NetlinkTransport {
  let next = Infinity;
  let sequence = 0;
  return {
    portId: 1,
    send(batch) {
      next = 0;
      sequence = new DataView(batch.buffer, batch.byteOffset).getUint32(8, LITTLE_ENDIAN);
    },
    receive(buffer) {
      const datagram = answers.datagrams[next++];
      if (datagram === undefined) return 0;
      buffer.fill(canary, 0, datagram.length + MARGIN);
      buffer.set(datagram);
      resequence(buffer, datagram.length, sequence);
      return datagram.length;
    },
    [Symbol.dispose]() {},
  };
}

/** Makes answers to request 1, 2 and 3 those to `sequence` and the two behind it, as far as messages are whole. */
function resequence(bytes: Uint8Array<ArrayBuffer>, length: number, sequence: number): void {
  const view = new DataView(bytes.buffer);
  for (let at = 0; length - at >= MESSAGE_HEADER_BYTES;) {
    const messageBytes = view.getUint32(at, LITTLE_ENDIAN);
    if (messageBytes < MESSAGE_HEADER_BYTES || messageBytes > length - at) return;
    const index = view.getUint32(at + 8, LITTLE_ENDIAN) - 1;
    if (index >= 0 && index < 3) view.setUint32(at + 8, sequence + index, LITTLE_ENDIAN);
    at += align4(messageBytes);
  }
}

/** A client whose kernel says what it is told to, and everything that the client makes of it, as text. */
function listener(canary: number): (datagrams: readonly Uint8Array[]) => string {
  const answers: { datagrams: readonly Uint8Array[] } = { datagrams: [] };
  const client = new NetlinkClient(answering(answers, canary));
  let said: string[] = [];
  const attempt = (ask: () => void) => {
    try {
      ask();
    } catch (error) {
      said.push(excuse(error));
    }
  };
  const each = (message: MessageReader) => said.push(`${message.type} ${message.start} ${message.end}`);
  const write = (type: number, flags: number): WriteRequest => (writer, sequence) => {
    writer.begin(type, flags, sequence);
    writer.end();
  };
  return (datagrams) => {
    answers.datagrams = datagrams;
    said = [];
    attempt(() => client.dump("read", write(26, NLM_F_DUMP), () => {}, each));
    attempt(() => client.request("change", write(24, 0), each));
    attempt(() =>
      client.batch(
        3,
        (_, writer, sequence) => write(24, 0)(writer, sequence),
        (index, errno, extack) => said.push(`${index} ${errno} ${extack}`),
      )
    );
    return said.join("\n");
  };
}

Deno.test(`NetlinkClient answers ${CLIENT_ROUNDS} damaged replies with a value or an error of its own, and never hangs`, () => {
  const refusal = fromHex(CAPTURES.refusal);
  setSequence(refusal, 1);
  const last = refusal.slice();
  setSequence(last, 3);
  const [hear, hearAgain] = [listener(0x00), listener(0xff)];
  let errors = 0;
  fuzz(CLIENT_ROUNDS, (random, datagram) => {
    const datagrams = [[datagram], [datagram, refusal], [datagram, last]][random(3)]!;
    const said = hear(datagrams);
    if (said !== hearAgain(datagrams)) throw new Error("what is behind the datagram makes a difference");
    if (said.includes("NetlinkError")) errors++;
  });
  assertEquals(errors > CLIENT_ROUNDS / 10, true, "most rounds must get as far as an error number");
});
