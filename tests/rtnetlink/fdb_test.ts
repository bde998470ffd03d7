import { assertEquals } from "@std/assert";
import { AF_INET } from "../../src/model/address.ts";
import { FDB } from "../../src/model/rows.ts";
import { Table } from "../../src/model/table.ts";
import { fdbCodec } from "../../src/rtnetlink/fdb.ts";
import { LinkSlots } from "../../src/rtnetlink/link_slots.ts";
import { CAPTURES } from "../netlink/captures.ts";
import {
  eachMessage,
  fdbTable,
  type FdbText,
  fromHex,
  type RequestCase,
  testRequests,
} from "../netlink/golden.ts";

/** `flannel.1`, `eth0` and `flannel-v6.1`, by slot. */
const LINK_INDEXES = [5, 2, 7];

const entry: FdbText = { mac: "0e:2a:00:00:00:02", to: "192.0.2.7" };
const otherEntry: FdbText = { mac: "0e:2a:00:00:00:0a", to: "192.0.2.8" };
const entryV6: FdbText = { mac: "0e:2a:00:00:00:62", to: "2001:db8::7", slot: 2 };

const STATE = "iproute2 says the state of what it deletes, which the kernel does not look at";

const requests: RequestCase[] = [
  {
    command: "bridge fdb replace 0e:2a:00:00:00:02 dev flannel.1 dst 192.0.2.7",
    wire: `
      300000001c000505edd7036b000000000700000005000000c00002000a0002000e2a00000002000008000100c0000207
    `,
    write: (writer, sequence) =>
      fdbCodec.encode.replace(writer, sequence, fdbTable([entry]).words, 0, LINK_INDEXES),
    differs: {
      why: "iproute2 adds NUD_NOARP; a VTEP makes the same of both",
      replace: { header: "070000000500000080000200" },
    },
  },
  {
    command: "bridge fdb replace 0e:2a:00:00:00:62 dev flannel-v6.1 dst 2001:db8::7",
    wire: `
      3c0000001c000505edd7036b000000000700000007000000c00002000a0002000e2a0000006200001400010020010db80000
      00000000000000000007
    `,
    write: (writer, sequence) =>
      fdbCodec.encode.replace(
        writer,
        sequence,
        fdbTable([{ ...entryV6, state: 0xc0 }]).words,
        0,
        LINK_INDEXES,
      ),
  },
  {
    command: "bridge fdb del 0e:2a:00:00:00:0a dev flannel.1 dst 192.0.2.8",
    wire: `
      300000001d000500eed7036b000000000700000005000000c00002000a0002000e2a0000000a000008000100c0000208
    `,
    write: (writer, sequence) =>
      fdbCodec.encode.delete(writer, sequence, fdbTable([otherEntry]).words, 0, LINK_INDEXES),
    differs: { why: STATE, replace: { header: "070000000500000000000200" } },
  },
  {
    command: "bridge fdb del 0e:2a:00:00:00:62 dev flannel-v6.1 dst 2001:db8::7",
    wire: `
      3c0000001d000500eed7036b000000000700000007000000c00002000a0002000e2a0000006200001400010020010db80000
      00000000000000000007
    `,
    write: (writer, sequence) =>
      fdbCodec.encode.delete(writer, sequence, fdbTable([entryV6]).words, 0, LINK_INDEXES),
    differs: { why: STATE, replace: { header: "070000000700000000000200" } },
  },
  {
    command: "bridge fdb show dev flannel.1",
    wire: "1c0000001e000103eed7036b00000000070000000500000000000000",
    write: (writer, sequence) => fdbCodec.encodeDump(writer, sequence, AF_INET, 5),
  },
];

testRequests("FDB", requests);

Deno.test("fdbCodec reads the lasting entries of VTEPs from `bridge fdb show`", () => {
  const table = new Table(FDB, 1);
  const slots = new LinkSlots([5, 0, 7]);
  eachMessage(
    fromHex(CAPTURES.fdbEntries),
    (message, attributes) => fdbCodec.decode(message, attributes, slots, table),
  );
  const expected: FdbText[] = [
    { mac: "00:00:00:00:00:00", to: "192.0.2.8" },
    { mac: "0e:2a:00:00:00:0b", to: "192.0.2.9", isForeign: true }, // a port and VNI of its own
    otherEntry,
    entry,
    entryV6,
  ];
  assertEquals(table.words, fdbTable(expected).words);
});
