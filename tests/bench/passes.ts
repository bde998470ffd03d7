import { vxlanBackend } from "../../src/overlay/backend/vxlan.ts";
import { AF_INET, type Family, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Underlay } from "../../src/model/underlay.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { MessageWriter } from "../../src/netlink/message.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";
import { Libc } from "../../src/linux/libc.ts";
import { ForeignFaults } from "../../src/reconcile/foreign_faults.ts";
import { Observer } from "../../src/reconcile/observe.ts";
import { Passes } from "../../src/reconcile/passes.ts";
import type { ReconcilerDeps } from "../../src/reconcile/reconciler.ts";
import type { PassReport } from "../../src/reconcile/report.ts";
import { type Remote, wantedState } from "../../src/reconcile/wanted.ts";
import { appendRow, emptyLike } from "../../src/reconcile/wanted_rows.ts";
import type { LeaseChange } from "../../src/registry/remote_index.ts";
import { queryLink } from "../../src/rtnetlink/link.ts";
import { ROW_CODECS } from "../../src/rtnetlink/row_codecs.ts";
import { createUnderlayLink, TestNetns } from "../double/netns.ts";
import { median } from "./machine.ts";
import { member, members, NETWORK } from "./members.ts";

const ROUNDS = 7;
const NOBODY: readonly never[] = [];

/** Figures of single passes in one process, the kernel and a VTEP real, the registry left out. */
export interface PassFigures extends Record<string, string | number> {
  readonly "remote leases": string;
  /** `core`, or `plain` where dumps are decoded without the core. */
  readonly decoder: string;
  /** The first pass, from an empty kernel. */
  readonly "first pass ms": number;
  /** A whole pass that finds nothing to do. */
  readonly "no-op pass ms": number;
  /** Of that what the kernel needs for the three dumps, which nobody decodes. */
  readonly "kernel alone ms": number;
  /** A partial pass that adds one host. */
  readonly "one join ms": number;
  /** A partial pass that puts back one route. */
  readonly "one repair ms": number;
  /** A whole pass that puts back one route. */
  readonly "whole repair ms": number;
}

/** Times passes with `count` remote leases; medians of seven, but for the first pass. */
export async function timePasses(
  count: number,
  options: { readonly isPlain?: boolean } = {},
): Promise<PassFigures> {
  const { isPlain = false } = options;
  using libc = new Libc();
  await using netns = await TestNetns.create();
  const linkIndex = await createUnderlayLink(netns, { name: "eth0", address4: "100.64.0.1/10" });
  using transport = netns.openTransport(libc);
  const client = new NetlinkClient(transport);
  const cluster = new Cluster(count);
  const deps = passDeps(client, new Observer(client, { isPlain }), cluster, linkIndex);
  const passes = new Passes(deps);
  const pass = (planned: number, make = () => passes.whole()): number => {
    const startedMs = performance.now();
    const report = make();
    const ms = performance.now() - startedMs;
    checkPass(report, planned);
    return ms;
  };
  const firstMs = pass(3 * count + 2);
  const idle = rounds(() => pass(0));
  const vtepIndex = queryLink(client, "flannel.1")!.linkIndex;
  const kernel = rounds(() => dumpAlone(transport, vtepIndex));
  // The first of them makes the index of the rows.
  const join = [-1, ...Array(ROUNDS).keys()].map((round) => {
    cluster.add(member(count + 3 + round));
    return pass(3, () => passes.part(undefined));
  }).slice(1);
  const repair = async (round: number, make: () => PassReport | undefined): Promise<number> => {
    await netns.ip("route", "delete", `10.0.${round + 2}.0/24`);
    return pass(1, make);
  };
  const [repairs, wholeRepairs]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    const { state } = deps.desire()!;
    const named = emptyLike(state);
    appendRow(named.routes, state.routes.words, round * state.routes.layout.words);
    repairs.push(await repair(round, () => passes.part(named)));
    wholeRepairs.push(await repair(round, () => passes.whole()));
  }
  return {
    "remote leases": String(count),
    decoder: isPlain ? "plain" : "core",
    "first pass ms": firstMs,
    "no-op pass ms": median(idle),
    "kernel alone ms": median(kernel),
    "one join ms": median(join),
    "one repair ms": median(repairs),
    "whole repair ms": median(wholeRepairs),
  };
}

/** Who else is in the overlay, and what has changed since an earlier answer. */
class Cluster {
  remote: Remote;
  readonly #changes: { readonly before: Remote; readonly change: LeaseChange }[] = [];

  constructor(count: number) {
    this.remote = { leases: members(2, count + 1), faults: [], doubts: [], isRemembered: false, serial: 0 };
  }

  add(lease: ReturnType<typeof member>): void {
    const before = this.remote;
    this.#changes.push({ before, change: { before: undefined, after: lease } });
    this.remote = { ...before, leases: [...before.leases, lease], serial: this.#changes.length };
  }

  since(remote: Remote): readonly LeaseChange[] {
    const first = this.#changes.findIndex(({ before }) => before === remote);
    return first < 0 ? [] : this.#changes.slice(first).map(({ change }) => change);
  }
}

function passDeps(
  client: NetlinkClient,
  observer: Observer,
  cluster: Cluster,
  linkIndex: number,
): ReconcilerDeps {
  const networks = [parsePrefix(NETWORK)];
  const address = parseAddress("100.64.0.1");
  const underlay: Underlay = {
    linkIndex,
    linkName: "eth0",
    mtuBytes: 1500,
    addresses: [{ family: 2, address, advertised: address, mtuBytes: 1500, segments: [] }],
  };
  const own = member(1);
  return {
    client,
    observer,
    foreignFaults: new ForeignFaults(() => undefined),
    desire: wantedState({
      backend: vxlanBackend(
        { vni: 1, port: 8472, gbp: false, learning: false, directRouting: false },
        { networks },
      ),
      underlay: () => underlay,
      own: () => own,
      remote: () => cluster.remote,
      changesSince: (remote) => cluster.since(remote),
      unreadable: () => NOBODY,
    }),
    linkCreated: () => {},
    report: () => {},
    now: () => new Date(),
    elapsedMs: () => performance.now(),
    log: { write: () => {} },
  } as ReconcilerDeps;
}

function checkPass(report: PassReport | undefined, planned: number): void {
  if (report?.planned === planned && report.failureCount === 0) return;
  throw new Error(
    `Cannot trust this figure: ${report?.planned} planned, not ${planned}; ${report?.failures}`,
  );
}

/** Milliseconds of the dumps of a whole pass, received and thrown away: nothing that reads them all is faster. */
function dumpAlone(transport: NetlinkTransport, vtepIndex: number): number {
  const buffer = new Uint8Array(64 * 1024);
  const startedMs = performance.now();
  for (const [name, index] of [["routes", 0], ["neighbours", vtepIndex], ["fdb", vtepIndex]] as const) {
    const writer = new MessageWriter();
    ROW_CODECS[name].encodeDump(writer, 1, AF_INET as Family, index);
    transport.send(writer.bytes);
    while (!isLast(buffer, transport.receive(buffer)));
  }
  return performance.now() - startedMs;
}

/** Whether a datagram ends with `NLMSG_DONE`: a header and an error number. */
function isLast(buffer: Uint8Array<ArrayBuffer>, length: number): boolean {
  const view = new DataView(buffer.buffer);
  const [bytes, done] = [20, 3];
  const at = length - bytes;
  return at >= 0 && view.getUint32(at, true) === bytes && view.getUint16(at + 4, true) === done;
}

function rounds(figure: (round: number) => number): number[] {
  return Array.from({ length: ROUNDS }, (_, round) => figure(round));
}
