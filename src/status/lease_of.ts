import { printable } from "../log/printable.ts";
import { type Address, formatAddress, formatPrefix, parseAddress, prefixContains } from "../model/address.ts";
import type { Lease, LeasePart } from "../model/lease.ts";
import type { PeerAnswer } from "../model/peer_path.ts";
import type { PeerFacts } from "./peers.ts";
import type { StatusDeps } from "./facts.ts";

/** Names are cut here: they are another host's words. */
const MAX_LENGTH = 300;
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** Who has an address, as the registry says it. */
export interface LeaseOf {
  readonly host: string;
  readonly isOwn: boolean;
  /** Whether the address is a pod's, or the host's own in the underlay. */
  readonly what: "subnet" | "underlay";
  readonly subnet: string;
  readonly underlayAddress: string;
  readonly backendType: string;
  /** The MAC of its VTEP, where it has said one. */
  readonly mac: string | null;
  /** Why this host does not send packets to it; `null` where it does. */
  readonly leftOut: string | null;
  /** What came of asking it; `null` where nobody asks. */
  readonly probes:
    | readonly {
      readonly network: string;
      readonly target: string;
      readonly packetBytes: number;
      readonly roundTripMs: number | null;
      /** Whether it hears this host through each network; `null` without an answer. */
      readonly hears: { readonly underlay: boolean; readonly overlay: boolean } | null;
    }[]
    | null;
}

/** What the agent's door answers to `/lease-of?address=ADDRESS`: `null` where nobody has it, or that is not known yet. */
export async function answerLeaseOf(
  facts: PeerFacts & Pick<StatusDeps, "askPeer">,
  query: URLSearchParams,
): Promise<{ readonly known: boolean; readonly lease: LeaseOf | null }> {
  const address = parseAddress(query.get("address") ?? "");
  const overlay = facts.overlay?.();
  const leases = overlay?.leases;
  if (overlay === undefined || leases === undefined) return { known: false, lease: null };
  const faults = facts.lastPass()?.faults ?? [];
  const isLeft = (lease: Lease) => faults.some(({ host }) => host === lease.host);
  // Of two that claim it, the one that packets are sent to.
  const found = findPart(leases.filter((lease) => !isLeft(lease)), address) ?? findPart(leases, address);
  if (found === undefined) return { known: true, lease: null };
  const { lease, part, what } = found;
  const isOwn = lease.host === facts.ownLease()?.host;
  const reasons = faults.filter(({ host }) => host === lease.host)
    .map(({ reason }) => reason);
  const isOther = overlay.leaseType !== "" && lease.backendType !== overlay.leaseType;
  if (!isOwn && reasons.length === 0 && isOther) {
    reasons.push(`its backend is ${lease.backendType || "alloc"}, and this host's ${overlay.leaseType}`);
  }
  const answers = isOwn ? undefined : await facts.askPeer?.(lease.host);
  const mac = (part.backendData as { readonly VtepMAC?: unknown } | null | undefined)?.VtepMAC;
  return {
    known: true,
    lease: {
      host: printable(lease.host, MAX_LENGTH),
      isOwn,
      what,
      subnet: formatPrefix(part.subnet),
      underlayAddress: formatAddress(part.underlayAddress),
      backendType: printable(lease.backendType, MAX_LENGTH),
      mac: typeof mac === "string" && MAC.test(mac) ? mac.toLowerCase() : null,
      leftOut: isOwn || reasons.length === 0 ? null : printable(reasons.join("; "), MAX_LENGTH),
      probes: answers === undefined ? null : answers.map(describeAnswer),
    },
  };
}

function describeAnswer({ network, target, packetBytes, roundTripMs, view }: PeerAnswer) {
  return {
    network,
    target: formatAddress(target),
    packetBytes,
    roundTripMs: roundTripMs ?? null,
    hears: view === undefined ? null : view.hears,
  };
}

function findPart(
  leases: readonly Lease[],
  address: Address,
): { readonly lease: Lease; readonly part: LeasePart; readonly what: LeaseOf["what"] } | undefined {
  for (const what of ["subnet", "underlay"] as const) {
    for (const lease of leases) {
      const part = lease.parts.find(({ subnet, underlayAddress }) =>
        what === "subnet" ? prefixContains(subnet, address) : underlayAddress === address
      );
      if (part !== undefined) return { lease, part, what };
    }
  }
  return undefined;
}
