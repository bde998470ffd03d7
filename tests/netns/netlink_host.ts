import { type Family, parseAddress, parseMac } from "../../src/model/address.ts";
import { FDB, NEIGHBOUR, ROUTE } from "../../src/model/rows.ts";
import type { ObservedLink, VxlanLink } from "../../src/model/state.ts";
import { type RowLayout, Table } from "../../src/model/table.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { NetlinkError } from "../../src/netlink/errno.ts";
import { Libc } from "../../src/netlink/ffi.ts";
import {
  decodeLink,
  encodeLinkChange,
  encodeLinkDump,
  encodeVxlanLink,
  type LinkChange,
} from "../../src/netlink/link.ts";
import { LinkSlots } from "../../src/netlink/link_slots.ts";
import { AttributeReader } from "../../src/netlink/attribute.ts";
import { type MessageReader, type MessageWriter } from "../../src/netlink/message.ts";
import {
  decodeFdbEntry,
  decodeNeighbour,
  encodeFdbDump,
  encodeNeighbourDump,
} from "../../src/netlink/neighbour.ts";
import { decodeRoute, encodeRouteDump, RTPROT_KERNEL } from "../../src/netlink/route.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";
import { createUnderlayLink, linkIndexOf, TestNetns } from "../double/netns.ts";

/** A namespace with an underlay link `eth0` (192.0.2.1, 2001:db8::1) and a client in it. */
export class Host implements AsyncDisposable {
  readonly #resources: AsyncDisposableStack;

  private constructor(
    readonly netns: TestNetns,
    readonly libc: Libc,
    readonly transport: NetlinkTransport,
    readonly underlayLinkIndex: number,
    resources: AsyncDisposableStack,
  ) {
    this.#resources = resources;
    this.client = new NetlinkClient(transport);
  }

  readonly client: NetlinkClient;

  static async open(): Promise<Host> {
    await using stack = new AsyncDisposableStack();
    const netns = stack.use(await TestNetns.create());
    const libc = stack.use(new Libc());
    const transport = stack.use(netns.openTransport(libc));
    const linkIndex = await createUnderlayLink(netns, {
      name: "eth0",
      address4: "192.0.2.1/24",
      address6: "2001:db8::1/64",
    });
    return new Host(netns, libc, transport, linkIndex, stack.move());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#resources.disposeAsync();
  }

  /** A VTEP as an agent makes it, up. */
  async createVtep(change: Partial<VxlanLink> = {}): Promise<number> {
    const link = this.vtep(change);
    this.client.request("create link", (writer, sequence) => encodeVxlanLink(writer, sequence, link));
    const linkIndex = await linkIndexOf(this.netns, link.name);
    this.change(linkIndex, { isUp: true });
    return linkIndex;
  }

  vtep(change: Partial<VxlanLink> = {}): VxlanLink {
    return {
      kind: "vxlan",
      name: "flannel.1",
      vni: 1,
      port: 8472,
      mtuBytes: 1450,
      mac: parseMac("0e:2a:00:00:00:01"),
      local: parseAddress("192.0.2.1"),
      underlayLinkIndex: this.underlayLinkIndex,
      learning: false,
      gbp: false,
      ...change,
    };
  }

  change(linkIndex: number, change: LinkChange): void {
    this.client.request(
      "change link",
      (writer, sequence) => encodeLinkChange(writer, sequence, linkIndex, change),
    );
  }

  links(): ObservedLink[] {
    const links: ObservedLink[] = [];
    this.client.dump("read links", encodeLinkDump, () => links.splice(0), (message) => {
      const link = decodeLink(message);
      if (link !== undefined) links.push(link);
    });
    return links;
  }

  /** The routes over a link but for the kernel's own. */
  routes(family: Family, linkIndex: number): Table {
    const slots = new LinkSlots([linkIndex]);
    return this.#table(
      ROUTE,
      (writer, sequence) => encodeRouteDump(writer, sequence, family, linkIndex),
      (message, attributes, table) => {
        if (decodeRoute(message, attributes, slots, table) === undefined) return;
        const at = (table.count - 1) * ROUTE.words;
        if ((table.storage[at + ROUTE.traits]! & 0xff) === RTPROT_KERNEL) table.pop();
      },
    );
  }

  neighbours(family: Family, linkIndex: number): Table {
    const slots = new LinkSlots([linkIndex]);
    return this.#table(
      NEIGHBOUR,
      (writer, sequence) => encodeNeighbourDump(writer, sequence, family, linkIndex),
      (message, attributes, table) => decodeNeighbour(message, attributes, slots, table),
    );
  }

  fdb(linkIndex: number): Table {
    const slots = new LinkSlots([linkIndex]);
    return this.#table(
      FDB,
      (writer, sequence) => encodeFdbDump(writer, sequence, linkIndex),
      (message, attributes, table) => decodeFdbEntry(message, attributes, slots, table),
    );
  }

  #table(
    layout: RowLayout,
    write: (writer: MessageWriter, sequence: number) => void,
    decode: (message: MessageReader, attributes: AttributeReader, table: Table) => void,
  ): Table {
    const table = new Table(layout);
    this.client.dump("read a table", write, () => table.clear(), (message) => {
      decode(message, new AttributeReader(message.view), table);
    });
    return table;
  }

  /** Sends a request for every row; a refusal fails the test. */
  apply(encode: EncodeRow, table: Table, linkIndexes: readonly number[]): void {
    const { words } = table;
    this.client.batch(
      table.count,
      (row, writer, sequence) => encode(writer, sequence, words, row * table.layout.words, linkIndexes),
      (row, errno, extack) => {
        throw new NetlinkError(`apply row ${row}`, errno, extack);
      },
    );
  }
}

/** Writes the request for the row at `at`. */
export type EncodeRow = (
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
  linkIndexes: readonly number[],
) => void;

/** Lines of a listing, blanks made one, sorted. */
export function lines(text: string): string[] {
  return text.split("\n").map((line) => line.trim().replaceAll(/\s+/g, " ")).filter(Boolean).sort();
}

/** The words of a table, row by row, sorted: the kernel's order is its own. */
export function sortedRows(table: Table): string[] {
  const { words, count, layout } = table;
  return Array.from(
    { length: count },
    (_, row) => words.subarray(row * layout.words, (row + 1) * layout.words).join(),
  ).sort();
}
