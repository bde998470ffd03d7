import { AF_INET, type Family, parseAddress, parseMac } from "../../src/model/address.ts";
import { ROUTE, routeProtocol } from "../../src/model/rows.ts";
import type { ObservedLink, VxlanLink } from "../../src/model/state.ts";
import { Table } from "../../src/model/table.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { NetlinkError } from "../../src/linux/errno.ts";
import { Libc } from "../../src/linux/libc.ts";
import { dumpLinks, encodeLinkChange, type LinkChange } from "../../src/rtnetlink/link.ts";
import { LinkSlots } from "../../src/rtnetlink/link_slots.ts";
import type { EncodeRow, RowCodec } from "../../src/rtnetlink/row_codec.ts";
import { ROW_CODECS } from "../../src/rtnetlink/row_codecs.ts";
import { RTPROT_KERNEL } from "../../src/rtnetlink/route_header.ts";
import { encodeVxlanLink } from "../../src/rtnetlink/vxlan.ts";
import { AttributeReader } from "../../src/netlink/attribute.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";
import { createUnderlayLink, linkIndexOf, TestNetns } from "../double/netns.ts";
import type { TableName } from "../../src/reconcile/plan.ts";

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
    return dumpLinks(this.client);
  }

  /** The routes over a link but for the kernel's own. */
  routes(family: Family, linkIndex: number): Table {
    return this.#table("routes", family, linkIndex, (table) => {
      const at = (table.count - 1) * ROUTE.words;
      if (routeProtocol(table.storage, at) === RTPROT_KERNEL) table.pop();
    });
  }

  neighbours(family: Family, linkIndex: number): Table {
    return this.#table("neighbours", family, linkIndex);
  }

  fdb(linkIndex: number): Table {
    return this.#table("fdb", AF_INET, linkIndex);
  }

  /** What a table has on one link; `appended` is told of each row. */
  #table(name: TableName, family: Family, linkIndex: number, appended = (_table: Table) => {}): Table {
    const codec: RowCodec = ROW_CODECS[name];
    const table = new Table(codec.layout);
    const slots = new LinkSlots([linkIndex]);
    this.client.dump(
      "read a table",
      (writer, sequence) => codec.encodeDump(writer, sequence, family, linkIndex),
      () => table.clear(),
      (message) => {
        const rows = codec.decode(message, new AttributeReader(message.view), slots, table);
        if (rows > 0) appended(table);
      },
    );
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
