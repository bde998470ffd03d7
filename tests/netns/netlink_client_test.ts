import { assertEquals, assertThrows, fail } from "@std/assert";
import { AF_INET, formatAddress, type Ipv4, parseAddress } from "../../src/model/address.ts";
import { NEIGHBOUR } from "../../src/model/rows.ts";
import { Table } from "../../src/model/table.ts";
import { Tally } from "../../src/model/tally.ts";
import { encodeAddress } from "../../src/rtnetlink/address.ts";
import { DumpInterruptedError, NetlinkClient } from "../../src/netlink/client.ts";
import { ENOBUFS, ENODEV, EPERM, NetlinkError } from "../../src/linux/errno.ts";
import { encodeLinkDump, encodeLinkQuery, queryLink } from "../../src/rtnetlink/link.ts";
import { type MessageWriter, NLM_F_CREATE } from "../../src/netlink/message.ts";
import { decodeNextHop, encodeNextHopDump } from "../../src/rtnetlink/next_hop.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";
import { counting, interrupting, losing, refusing } from "../double/refusing.ts";
import { fdbTable, neighbourTable, routeTable } from "../netlink/golden.ts";
import { Host, lines } from "./netlink_host.ts";
import { neighbourCodec } from "../../src/rtnetlink/neighbour.ts";
import { routeCodec } from "../../src/rtnetlink/route.ts";
import { fdbCodec } from "../../src/rtnetlink/fdb.ts";
import { encodeVxlanLink } from "../../src/rtnetlink/vxlan.ts";

const RTM_NEWNEXTHOP = 104;
const NHA_ID = 1;
const NHA_OIF = 5;

const refusals: [action: string, message: string, write: (host: Host, vtep: number) => WriteRequest][] = [
  [
    "add route 10.244.2.0/24",
    'Cannot add route 10.244.2.0/24: ENETUNREACH, "Nexthop has invalid gateway"',
    (_, vtep) => {
      const { words } = routeTable([{ to: "10.244.2.0/24", via: "203.0.113.1" }]);
      return (writer, sequence) => routeCodec.encode.replace(writer, sequence, words, 0, [vtep]);
    },
  ],
  [
    "add route 10.244.2.0/24",
    'Cannot add route 10.244.2.0/24: EINVAL, "Nexthop id does not exist"',
    (_, vtep) => {
      const { words } = routeTable([{ to: "10.244.2.0/24", objectId: 77 }]);
      return (writer, sequence) => routeCodec.encode.replace(writer, sequence, words, 0, [vtep]);
    },
  ],
  [
    "add route fd00:10:244:2::/64",
    "Cannot add route fd00:10:244:2::/64: EHOSTUNREACH",
    (_, vtep) => {
      const { words } = routeTable([{ to: "fd00:10:244:2::/64", via: "2001:db8:9::1" }]);
      return (writer, sequence) => routeCodec.encode.replace(writer, sequence, words, 0, [vtep]);
    },
  ],
  [
    "create link flannel.1",
    "Cannot create link flannel.1: EEXIST",
    (host) => (writer, sequence) => encodeVxlanLink(writer, sequence, host.vtep()),
  ],
  [
    "create link flannel.2",
    'Cannot create link flannel.2: EEXIST, "A VXLAN device with the specified VNI already exists"',
    (host) => (writer, sequence) => encodeVxlanLink(writer, sequence, host.vtep({ name: "flannel.2" })),
  ],
  [
    "set FDB entry",
    'Cannot set FDB entry: ENODEV, "unknown ifindex"',
    () => {
      const { words } = fdbTable([{ mac: "0e:2a:00:00:00:02", to: "192.0.2.7" }]);
      return (writer, sequence) => fdbCodec.encode.replace(writer, sequence, words, 0, [9999]);
    },
  ],
  [
    "add address",
    'Cannot add address: ENODEV, "ipv4: Device not found"',
    () => (writer, sequence) =>
      encodeAddress(writer, sequence, { linkIndex: 9999, address: parseAddress("10.244.1.0"), length: 32 }),
  ],
];

type WriteRequest = (writer: MessageWriter, sequence: number) => void;

Deno.test("a refusal says what was asked, the name of the errno and the kernel's own sentence", async () => {
  await using host = await Host.open();
  const vtep = await host.createVtep();
  for (const [action, message, write] of refusals) {
    const error = assertThrows(() => host.client.request(action, write(host, vtep)), NetlinkError);
    assertEquals(error.message, message);
  }
});

/** `count` neighbours from 10.1.0.0 on. */
function manyNeighbours(count: number): Table {
  const table = new Table(NEIGHBOUR);
  for (let index = 0; index < count; index++) {
    const address = formatAddress(0x0a010000 + index as Ipv4);
    const mac = `0e:2a:00:00:${(index >> 8).toString(16).padStart(2, "0")}:${
      (index & 255).toString(16).padStart(2, "0")
    }`;
    const at = table.push();
    table.storage.set(neighbourTable([{ address, mac }]).words, at);
  }
  return table;
}

/** Sets neighbours and returns the refused ones. */
function setNeighbours(
  client: NetlinkClient,
  table: Table,
  linkIndexes: readonly number[],
): [index: number, errno: number][] {
  const refused: [number, number][] = [];
  client.batch(
    table.count,
    (row, writer, sequence) =>
      neighbourCodec.encode.replace(writer, sequence, table.words, row * NEIGHBOUR.words, linkIndexes),
    (row, errno) => refused.push([row, errno]),
  );
  return refused;
}

Deno.test("batch() of 5,000 neighbours reports the three refused ones and carries out the others", async () => {
  await using host = await Host.open();
  const vtep = await host.createVtep();
  const table = manyNeighbours(5000);
  for (const bad of [1234, 2500, 2501]) table.words[bad * NEIGHBOUR.words] = 1;
  const client = new NetlinkClient(host.transport);
  assertEquals(setNeighbours(client, table, [vtep, 9999]), [[1234, ENODEV], [2500, ENODEV], [2501, ENODEV]]);
  assertEquals(host.neighbours(AF_INET, vtep).count, 4997);
});

Deno.test("a client counts what the kernel refuses, by error number, of single requests and of batches", async () => {
  await using host = await Host.open();
  const vtep = await host.createVtep();
  const refusals = new Tally<number>();
  const client = new NetlinkClient(host.transport, { refusals });
  // What is not there is no refusal.
  assertEquals(queryLink(client, "none"), undefined);
  assertThrows(
    () => client.request("read link none", (writer, sequence) => encodeLinkQuery(writer, sequence, "none")),
    NetlinkError,
  );
  const table = manyNeighbours(10);
  for (const bad of [3, 7]) table.words[bad * NEIGHBOUR.words] = 1;
  setNeighbours(client, table, [vtep, 9999]);
  client.dump("read links", encodeLinkDump, () => {}, () => {});
  assertEquals([...refusals], [[ENODEV, 3]]);
});

Deno.test("refusing() refuses the n-th change alone, wherever it stands in a batch", async () => {
  await using host = await Host.open();
  const vtep = await host.createVtep();
  for (let n = 0; n < 5; n++) {
    await host.netns.ip("neigh", "flush", "dev", "flannel.1", "nud", "permanent");
    const client = new NetlinkClient(refusing(host.transport, n, EPERM));
    assertEquals(setNeighbours(client, manyNeighbours(1), [vtep]), n === 0 ? [[0, EPERM]] : []);
    // Reading is no change.
    client.dump("read links", encodeLinkDump, () => {}, () => {});
    assertEquals(setNeighbours(client, manyNeighbours(3), [vtep]), n > 0 && n < 4 ? [[n - 1, EPERM]] : []);
    assertEquals(setNeighbours(client, manyNeighbours(3), [vtep, 9999]), n === 4 ? [[0, EPERM]] : []);
    assertEquals(host.neighbours(AF_INET, vtep).count, 3);
  }
});

Deno.test("refusing() leaves the kernel's own refusals in the same batch alone", async () => {
  await using host = await Host.open();
  const vtep = await host.createVtep();
  for (const n of [0, 1, 2, 3]) {
    const table = manyNeighbours(4);
    table.words[1 * NEIGHBOUR.words] = 1;
    table.words[2 * NEIGHBOUR.words] = 1;
    const client = new NetlinkClient(refusing(host.transport, n, EPERM));
    const expected = new Map([[1, ENODEV], [2, ENODEV], [n, EPERM]]);
    assertEquals(new Map(setNeighbours(client, table, [vtep, 9999])), expected);
  }
});

Deno.test("dump() reads again while the table changes, and gives up after ten times", async () => {
  await using host = await Host.open();
  for (const [times, dumps] of [[0, 1], [3, 4], [9, 10]] as const) {
    const transport = counting(interrupting(host.transport, times));
    let restarts = 0;
    let links = 0;
    const restart = () => {
      restarts++;
      links = 0;
    };
    new NetlinkClient(transport).dump("read links", encodeLinkDump, restart, () => links++);
    assertEquals({ dumps: transport.dumps, writes: transport.writes, restarts, links }, {
      dumps,
      writes: 0,
      restarts: dumps,
      links: 3,
    });
  }
  const transport = counting(interrupting(host.transport, 10));
  const client = new NetlinkClient(transport);
  const error = assertThrows(
    () => client.dump("read links", encodeLinkDump, () => {}, () => {}),
    DumpInterruptedError,
  );
  assertEquals(error.message, "Cannot read links: the table changed during each of 10 dumps");
  assertEquals(transport.dumps, 10);
  assertEquals(queryLink(client, "eth0")?.name, "eth0");
});

/** Many routes over a VTEP, more than one datagram of a dump holds. */
async function hostWithRoutes(count: number): Promise<{ host: Host; vtep: number }> {
  const host = await Host.open();
  const vtep = await host.createVtep();
  const table = routeTable(
    Array.from({ length: count }, (_, index) => ({
      to: `10.${2 + (index >> 8)}.${index & 255}.0/24`,
      via: "10.244.2.0",
      onlink: true,
    })),
  );
  host.apply(routeCodec.encode.replace, table, [vtep]);
  return { host, vtep };
}

Deno.test("dump() reads again when the kernel says that a table changed between two of its datagrams", async () => {
  await using host = await Host.open();
  const vtep = await host.createVtep();
  // The kernel fills one datagram ahead of the reader: it takes three to see a change after the first.
  const ids = Array.from({ length: 2501 }, (_, index) => index + 1);
  const set = (writer: MessageWriter, sequence: number, row: number) => {
    writer.begin(RTM_NEWNEXTHOP, NLM_F_CREATE, sequence);
    writer.u32(AF_INET);
    writer.u32(0);
    writer.attributeU32(NHA_ID, ids[row]!);
    writer.attributeU32(NHA_OIF, vtep);
    writer.end();
  };
  host.client.batch(
    2500,
    (row, writer, sequence) => set(writer, sequence, row),
    (row) => fail(`next hop ${row}`),
  );
  const transport = counting(host.transport);
  using otherTransport = host.netns.openTransport(host.libc);
  const other = new NetlinkClient(otherTransport);
  const found: number[] = [];
  new NetlinkClient(transport).dump(
    "read next hops",
    encodeNextHopDump,
    () => found.length = 0,
    (message) => {
      found.push(decodeNextHop(message)!.id);
      if (found.length > 1 || transport.dumps > 1) return;
      other.request("add next hop", (writer, sequence) => set(writer, sequence, 2500));
    },
  );
  assertEquals(transport.dumps, 2);
  assertEquals(found, ids);
});

Deno.test("a dump that its reader left in the middle does not disturb the next requests", async () => {
  const { host: opened, vtep } = await hostWithRoutes(2000);
  await using host = opened;
  const stop = new SyntaxError("enough");
  const thrown = assertThrows(() =>
    host.client.dump(
      "read routes",
      (writer, sequence) => routeCodec.encodeDump(writer, sequence, AF_INET, vtep),
      () => {},
      () => {
        throw stop;
      },
    ), SyntaxError);
  assertEquals(thrown, stop);
  assertEquals(host.routes(AF_INET, vtep).count, 2000);
  assertEquals(queryLink(host.client, "flannel.1")?.linkIndex, vtep);
});

Deno.test("a lost answer is ENOBUFS, and the next request gets its own", async () => {
  await using host = await Host.open();
  const vtep = await host.createVtep();
  const client = new NetlinkClient(losing(host.transport, 0));
  const write: WriteRequest = (writer, sequence) =>
    encodeAddress(writer, sequence, { linkIndex: vtep, address: parseAddress("10.244.1.0"), length: 32 });
  const error = assertThrows(() => client.request("add address 10.244.1.0", write), NetlinkError);
  assertEquals(error.errno, ENOBUFS);
  assertEquals(error.message, 'Cannot add address 10.244.1.0: ENOBUFS, "the kernel\'s answer was lost"');
  assertEquals(lines(await host.netns.ip("-4", "-o", "address", "show", "dev", "flannel.1")).length, 1);
  assertEquals(setNeighbours(client, manyNeighbours(2), [vtep]), []);

  const losingBatch = new NetlinkClient(losing(host.transport, 0));
  assertEquals(setNeighbours(losingBatch, manyNeighbours(2), [vtep]), [[0, ENOBUFS], [1, ENOBUFS]]);
  const losingDump = new NetlinkClient(losing(host.transport, 0));
  const dumped = assertThrows(
    () => losingDump.dump("read links", encodeLinkDump, () => {}, () => {}),
    NetlinkError,
  );
  assertEquals(dumped.errno, ENOBUFS);
  assertEquals(queryLink(losingDump, "flannel.1")?.linkIndex, vtep);
});

Deno.test("a batch whose refusals overflow the socket leaves no request behind unreported", async () => {
  await using host = await Host.open();
  using transport = host.libc.inNetns(
    host.netns.path,
    () => NetlinkSocket.open(host.libc, { bufferBytes: 4096 }),
  );
  const client = new NetlinkClient(transport);
  const table = manyNeighbours(1000);
  const refused = new Set(setNeighbours(client, table, [9999]).map(([row]) => row));
  assertEquals(refused.size, 1000);
  assertEquals(queryLink(client, "eth0")?.linkIndex, host.underlayLinkIndex);
});
