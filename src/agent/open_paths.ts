import { ANSWERS, PAYLOAD, PORT } from "../host/probe.ts";
import { EADDRINUSE, EAGAIN, isErrno, NetlinkError } from "../linux/errno.ts";
import type { Libc } from "../linux/libc.ts";
import { PollMany } from "../linux/poll_many.ts";
import { portOwner } from "../linux/port_owner.ts";
import { type UdpPlace, UdpPort } from "../linux/udp_port.ts";
import { UdpSocket } from "../linux/udp_socket.ts";
import { pause } from "../loop/pause.ts";
import { inTurns, type Worker } from "../loop/worker.ts";
import { type Address, AF_INET, type Family, familyOf } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { Lease } from "../model/lease.ts";
import type { ProbedNetwork } from "../model/peer_path.ts";
import { vtepName } from "../model/vtep.ts";
import { usesSegment, usesTunnel } from "../overlay/backend/backend.ts";
import { isLinkLocal } from "../overlay/underlay/addresses.ts";
import type { ProbePlace } from "../path/open_place.ts";
import type { ExpectedBytes } from "../path/path_looker.ts";
import type { MemberTable, PathMembers } from "../path/path_members.ts";
import type { PathProber, ToldElsewhere } from "../path/path_prober.ts";
import type { PassReport } from "../reconcile/report.ts";
import type { PathSizeMap } from "../reconcile/wanted.ts";
import type { LeaseSet } from "../registry/lease_set.ts";
import type { RemoteLeases } from "../registry/remote_leases.ts";
import type { AgentContext, KnownConfig } from "./context.ts";
import type { LeaseParts } from "./lease_parts.ts";
import type { TruthKeeper } from "./truth_keeper.ts";
import type { UnderlayParts } from "./underlay_parts.ts";

/** Bytes that VXLAN takes of the underlay's MTU, by the family of the underlay. */
const OVERHEAD_BYTES = { 2: 50, 10: 70 } as const;
/** Between looks for the refusal of a peer's kernel. */
const LOOKS_AFTER_MS = [1, 3, 12, 48, 186];
/** Who takes part is found anew after this if no lease has changed: an agent may have begun to. Of many hosts, later. */
const MEMBERS_MS = { few: 5000, many: 60_000 } as const;
const MANY = 500;

/** What probes of a member work with. */
export interface PathParts {
  readonly context: AgentContext;
  readonly known: KnownConfig;
  readonly underlayParts: UnderlayParts;
  readonly leaseParts: LeaseParts;
  /** The last pass: who is left out is not asked. */
  readonly lastPass: () => PassReport | undefined;
  /** What is known with its cause of packets that do not get to others. */
  readonly told: () => ToldElsewhere;
  /** Called when it is known that what this host sends is damaged. */
  readonly damageChanged: () => void;
  /** Called when the sizes that get to hosts behind narrow paths are others. */
  readonly sizesChanged: () => void;
}

/** The probes of a member. */
export interface OpenPaths {
  readonly prober: PathProber;
  /** The sizes that get to hosts behind narrow paths; absent where routes are not to have them. */
  readonly sizes?: () => PathSizeMap;
  /** What must be known. */
  readonly conditions: readonly Condition[];
  readonly workers: readonly Worker[];
}

/** Opens the probes; `undefined` where they are turned off, or packets of pods do not go from host to host. */
export async function openPaths(
  parts: PathParts,
  stack: AsyncDisposableStack,
): Promise<OpenPaths | undefined> {
  const { context: { options, libc, elapsedMs, log }, leaseParts: { membership, backend, registry } } = parts;
  const { mode, port, budget, lowersMtu } = options.pathProbes;
  const { carriage } = backend;
  if (mode === "off" || !usesTunnel(carriage) && !usesSegment(carriage)) return undefined;
  const { PathProber, TURN_MS } = await import("../path/path_prober.ts");
  const { MemberTable } = await import("../path/path_members.ts");
  const { MAX_PROBE_BYTES } = await import("../path/probe_wire.ts");
  const prober = new PathProber({
    options: { mode, port, budget },
    places: () => placesOf(parts),
    members: membersOf(parts, MemberTable),
    own: () => membership.own?.host,
    expected: (family) => expectedBytes(parts, family),
    open: (place) => openPort(libc, place, MAX_PROBE_BYTES),
    poll: stack.use(new PollMany(libc)),
    askKernel: (source, target, network) => {
      const { linkIndex } = placesOf(parts).find(({ address }) => address === source) ?? {};
      const scope = linkIndex === undefined ? {} : { linkIndex };
      return askKernel(libc, { source, target, network, ...scope });
    },
    told: parts.told,
    isRegistryAway: () => registry.registry.contact.reason !== undefined,
    vtepReceived: (family) => vtepReceived(parts, family),
    damageChanged: parts.damageChanged,
    nonce: () => crypto.getRandomValues(new BigUint64Array(1))[0]!,
    now: () => Date.now(),
    elapsedMs,
    log,
  });
  // Before the lease is asked for, so that it says so at once.
  prober.open();
  const sizes = lowersMtu ? new (await import("../path/path_sizes.ts")).PathSizes() : undefined;
  const turn = () => {
    prober.turn();
    if (sizes?.see(prober.records, elapsedMs())) parts.sizesChanged();
  };
  const workers: readonly Worker[] = [
    { name: "path answers", run: (options) => prober.listen(options) },
    { name: "path probes", run: inTurns(turn, { periodMs: TURN_MS }) },
  ];
  return {
    prober,
    ...sizes !== undefined && { sizes: () => sizes.sizes },
    get conditions() {
      return [...prober.conditions, ...sizes?.conditions ?? []];
    },
    workers,
  };
}

/** Where the kernel itself leads packets elsewhere, or has no way, probes are lost too, and have nothing more to say. */
export function toldElsewhere(
  found: readonly Condition[],
  { truth, underlayParts }: {
    readonly truth: Pick<TruthKeeper, "peers">;
    readonly underlayParts: UnderlayParts;
  },
): ToldElsewhere {
  const isAll = underlayParts.underlay.reason !== undefined ||
    found.some(({ code }) => code === "host-cut-off");
  return { isAll, hosts: truth.peers };
}

/** Where this host is: in the underlay, and at its VTEPs where it has them. */
function placesOf(
  { underlayParts: { underlay }, leaseParts: { backend, usable } }: PathParts,
): readonly ProbePlace[] {
  const { addresses, linkIndex } = underlay.usable;
  const families = addresses.map(({ family }) => family);
  const overlay = usesTunnel(backend.carriage)
    ? (usable()?.parts ?? []).map(({ subnet }) => subnet.address)
    : [];
  return [
    ...addresses.map(({ address }) => ({
      network: "underlay" as const,
      address,
      ...familyOf(address) !== AF_INET && isLinkLocal(address) && { linkIndex },
    })),
    ...overlay.filter((address) => families.includes(familyOf(address)))
      .map((address) => ({ network: "overlay" as const, address })),
  ];
}

/** Follows who takes part: each change of one lease at once, and all of them now and then. */
function membersOf(
  { context: { options, elapsedMs }, known, leaseParts: { backend, leases, membership }, lastPass }:
    PathParts,
  Members: typeof MemberTable,
): () => PathMembers {
  const networks = known.config.families.map(({ network }) => network);
  let last: {
    readonly members: MemberTable;
    readonly of: RemoteLeases | undefined;
    readonly own: Lease | undefined;
    readonly untilMs: number;
  } | undefined;
  const leftOut = () => new Set(lastPass()?.faults.map(({ host }) => host));
  const find = (own: Lease | undefined, of: RemoteLeases | undefined) => {
    const out = leftOut();
    const current = of?.leases.filter(({ host }) => !out.has(host)) ?? [];
    return new Members(current.map((lease) => asSaidNow(lease, leases)), {
      own: own?.host ?? "",
      backendType: backend.leaseType,
      hasOverlay: usesTunnel(backend.carriage),
      withOthers: options.pathProbes.mode === "on",
    });
  };
  return () => {
    const { own } = membership;
    const of = own && leases.remote(own, networks);
    const nowMs = elapsedMs();
    const isOld = last === undefined || last.own?.host !== own?.host || nowMs >= last.untilMs;
    if (last !== undefined && !isOld && last.of === of) return last.members;
    const changes = !isOld && last?.of && of && leases.changesSince(last.of);
    if (last === undefined || !changes) {
      const period = (of?.leases.length ?? 0) < MANY ? MEMBERS_MS.few : MEMBERS_MS.many;
      last = { members: find(own, of), of, own, untilMs: nowMs + period };
      return last.members;
    }
    const out = leftOut();
    for (const { before, after } of changes) {
      if (before !== undefined) last.members.set(before.host, undefined);
      if (after !== undefined && !out.has(after.host)) last.members.set(after.host, asSaidNow(after, leases));
    }
    last = { ...last, of };
    return last.members;
  };
}

/** A lease with what its host says beside it now, which makes no other lease of it. */
function asSaidNow(lease: Lease, leases: LeaseSet): Lease {
  const { origin, ...rest } = lease;
  const said = leases.of(lease.host)?.origin ?? origin;
  return said === origin ? lease : { ...rest, ...said !== undefined && { origin: said } };
}

/** What must get through: packets of pods, and what becomes of them in the underlay. */
function expectedBytes(
  { underlayParts: { underlay }, leaseParts: { backend } }: PathParts,
  family: Family,
): ExpectedBytes | undefined {
  const address = underlay.usable.addresses.find((one) => one.family === family);
  if (address === undefined) return undefined;
  const ofPods = backend.overlayMtuBytes(underlay.current);
  if (!usesTunnel(backend.carriage)) return { underlay: ofPods };
  return { overlay: ofPods, underlay: Math.min(address.mtuBytes, ofPods + OVERHEAD_BYTES[family]) };
}

/** How many packets have come in by a VTEP. */
function vtepReceived({ context: { libc }, known }: PathParts, family: Family): number | undefined {
  const { backend } = known.config;
  if (!("vni" in backend)) return undefined;
  try {
    const path = `/sys/class/net/${vtepName(family, backend.vni)}/statistics/rx_packets`;
    return Number(libc.readSysctl(path));
  } catch {
    return undefined;
  }
}

/** Whether a peer's kernel refuses a datagram: then a packet came to it, and another one back. */
async function askKernel(
  libc: Libc,
  { source, target, network, linkIndex }: {
    readonly source: Address;
    readonly linkIndex?: number;
    readonly target: Address;
    readonly network: ProbedNetwork;
  },
): Promise<boolean> {
  try {
    const hopLimit = network === "overlay" ? 1 : 64;
    using socket = UdpSocket.open(libc, {
      source,
      target,
      port: PORT,
      hopLimit,
      ...linkIndex !== undefined && { linkIndex },
    });
    if (socket.send(PAYLOAD) !== 0) return false;
    for (const ms of LOOKS_AFTER_MS) {
      await pause(ms);
      const errno = socket.receive();
      if (errno !== EAGAIN) return ANSWERS.has(errno);
    }
    return false;
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return false;
  }
}

/** @throws {NetlinkError} If it can't be had; where it is taken with who has it. */
function openPort(libc: Libc, place: UdpPlace, bufferBytes: number): UdpPort {
  try {
    return UdpPort.open(libc, place, bufferBytes);
  } catch (error) {
    if (!isErrno(error, EADDRINUSE)) throw error;
    throw new NetlinkError(error.action, error.errno, portOwner(libc, "udp", place.port));
  }
}
