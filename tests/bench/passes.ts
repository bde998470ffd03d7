import { vxlanBackend } from "../../src/overlay/backend/vxlan.ts";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Underlay } from "../../src/model/underlay.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { Libc } from "../../src/linux/libc.ts";
import { ForeignFaults } from "../../src/reconcile/foreign_faults.ts";
import { Observer } from "../../src/reconcile/observe.ts";
import { reconcileOnce } from "../../src/reconcile/reconciler.ts";
import { type Remote, wantedState } from "../../src/reconcile/wanted.ts";
import { createUnderlayLink, TestNetns } from "../double/netns.ts";
import { median } from "./machine.ts";
import { member, members, NETWORK } from "./members.ts";

const ROUNDS = 7;
const NOBODY: readonly never[] = [];

/** Figures of single passes in one process, the kernel and a VTEP real, the registry left out. */
export interface PassFigures extends Record<string, string | number> {
  readonly "remote leases": string;
  /** The first pass, from an empty kernel. */
  readonly "first pass ms": number;
  /** A pass that finds nothing to do. */
  readonly "no-op pass ms": number;
  /** A pass that adds one host. */
  readonly "one join ms": number;
  /** A pass that puts back one route. */
  readonly "one repair ms": number;
}

/** Times passes with `count` remote leases; medians of seven, but for the first pass. */
export async function timePasses(count: number): Promise<PassFigures> {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  const linkIndex = await createUnderlayLink(netns, { name: "eth0", address4: "100.64.0.1/10" });
  using transport = netns.openTransport(libc);
  const client = new NetlinkClient(transport);
  const networks = [parsePrefix(NETWORK)];
  const address = parseAddress("100.64.0.1");
  const underlay: Underlay = {
    linkIndex,
    linkName: "eth0",
    mtuBytes: 1500,
    addresses: [{ family: 2, address, advertised: address, mtuBytes: 1500, segments: [] }],
  };
  let remote: Remote = {
    leases: members(2, count + 1),
    faults: [],
    doubts: [],
    isRemembered: false,
  };
  const own = member(1);
  const deps = {
    client,
    observer: new Observer(client),
    foreignFaults: new ForeignFaults(() => undefined),
    desire: wantedState({
      backend: vxlanBackend(
        { vni: 1, port: 8472, gbp: false, learning: false, directRouting: false },
        { networks },
      ),
      underlay: () => underlay,
      own: () => own,
      remote: () => remote,
      unreadable: () => NOBODY,
    }),
    linkCreated: () => {},
    report: () => {},
    now: () => new Date(),
    elapsedMs: () => performance.now(),
    log: { write: () => {} },
  } as Parameters<typeof reconcileOnce>[0];
  const pass = (planned: number): number => {
    const report = reconcileOnce(deps)!;
    if (report.planned !== planned || report.failureCount > 0) {
      throw new Error(
        `Cannot trust this figure: ${report.planned} planned, not ${planned}; ${report.failures}`,
      );
    }
    return report.durationMs;
  };
  const firstMs = pass(3 * count + 2);
  const idle = rounds(() => pass(0));
  const join = rounds((round) => {
    remote = {
      leases: [...remote.leases, member(count + 2 + round)],
      faults: [],
      doubts: [],
      isRemembered: false,
    };
    return pass(3);
  });
  const repairs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await netns.ip("route", "delete", `10.0.${round + 2}.0/24`);
    repairs.push(pass(1));
  }
  return {
    "remote leases": String(count),
    "first pass ms": firstMs,
    "no-op pass ms": median(idle),
    "one join ms": median(join),
    "one repair ms": median(repairs),
  };
}

function rounds(figure: (round: number) => number): number[] {
  return Array.from({ length: ROUNDS }, (_, round) => figure(round));
}
