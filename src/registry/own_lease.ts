import { type Prefix, prefixEquals } from "../model/address.ts";
import type { Lease, Origin } from "../model/lease.ts";
import type { LeaseRequest, LeavingHost } from "./registry.ts";

/** Who looks for its lease. */
export interface Claimant {
  readonly origin: Origin;
  /** What it would publish by itself. */
  readonly parts: LeaseRequest["parts"];
  /** What only the holder has: names that the registry gave to this process. */
  readonly tokens: ReadonlySet<string>;
  /** The same of the process before this one, as a file has it: no proof against another machine. */
  readonly rememberedToken?: string | undefined;
  /** What the subnet file says that this host held. */
  readonly previousSubnets: readonly Prefix[];
  /** What the registry would call it, where names are made of addresses. */
  readonly name?: string;
}

/** A lease as it stands in the registry. */
export interface Candidate {
  readonly lease: Lease;
  /** What the registry gave to its writer; absent where it gives nothing of the kind. */
  readonly token?: string;
}

/** Why a lease is this host's, weakest first. */
export const PROOFS = [
  /** It is of this machine, as far as its id and its name tell. Clones share an id, and may share a name. */
  "machine",
  /** It publishes this host's address, and nothing speaks against it: all that flannel goes by. */
  "address",
  /** It is of this machine, and has the MAC of this host's underlay link. */
  "mac",
  /** It is on the subnet of the subnet file, and publishes what this host's own links have. */
  "links",
  /** It has what the registry gave to this process, or to the one before it. */
  "token",
] as const;
export type Proof = typeof PROOFS[number];

/** A lease that is this host's, or may be. */
export interface Claim<C extends Candidate> {
  readonly candidate: C;
  readonly proof: Proof;
  /** Whether a living holder refutes it: what proves it can have been copied. */
  readonly isDoubtful: boolean;
}

/**
 * Finds the leases that are this host's, the best proof first. A host is not its present address: that changes, and
 * may have been another host's before. Pure.
 */
export function ownClaims<C extends Candidate>(candidates: readonly C[], claimant: Claimant): Claim<C>[] {
  const claims = candidates.flatMap((candidate) => judge(candidate, claimant) ?? []);
  // A machine id that several have says nothing about one of them.
  const { machine } = claimant.origin;
  const isUnique = candidates.filter(({ lease }) => lease.origin?.machine === machine).length === 1;
  return claims
    .filter(({ proof }) => proof !== "machine" || isUnique)
    .sort((a, b) => PROOFS.indexOf(b.proof) - PROOFS.indexOf(a.proof));
}

function judge<C extends Candidate>(candidate: C, claimant: Claimant): Claim<C> | undefined {
  const { lease, token } = candidate;
  const claim = (proof: Proof, isDoubtful: boolean) => ({ candidate, proof, isDoubtful });
  if (token !== undefined && claimant.tokens.has(token)) return claim("token", false);
  const { origin } = lease;
  const [machine, mac, name] = (["machine", "mac", "name"] as const).map((what) =>
    compare(origin?.[what], claimant.origin[what])
  );
  const isRemembered = token !== undefined && token === claimant.rememberedToken;
  if (isRemembered && machine !== "other") return claim("token", false);
  // By IPv4 where there is one, as flannel does.
  const address = claimant.parts[0]?.underlayAddress;
  const isAtAddress = claimant.name === undefined
    ? lease.parts.some(({ underlayAddress }) => underlayAddress === address)
    : lease.host === claimant.name;
  if (mac === "same" && machine !== "other") return claim("mac", !isAtAddress);
  if (isFromLinks(lease, claimant)) return claim("links", origin !== undefined);
  if (machine === "other") return undefined;
  // A host that says who it is shows signs of life too; flanneld does neither.
  if (isAtAddress) return claim("address", origin !== undefined);
  return machine === "same" && name !== "other" ? claim("machine", true) : undefined;
}

function compare(theirs: string | undefined, ours: string | undefined): "same" | "other" | "unknown" {
  if (theirs === undefined || ours === undefined) return "unknown";
  return theirs === ours ? "same" : "other";
}

/** Whether a lease is on the subnets that this host had, with the very data that its links have. */
function isFromLinks({ parts }: Lease, { previousSubnets, parts: own }: Claimant): boolean {
  return parts.length > 0 && parts.every(({ subnet, backendData }) => {
    const data = own.find(({ underlayAddress }) => typeof underlayAddress === typeof subnet.address)
      ?.backendData;
    // A backend that publishes nothing proves nothing.
    return data !== undefined && data !== null && JSON.stringify(data) === JSON.stringify(backendData) &&
      previousSubnets.some((previous) => prefixEquals(previous, subnet));
  });
}

/** Whether a claim in doubt holds where its holder shows no signs of life, as a reservation's does not. */
export function holdsUnseen({ proof }: Claim<Candidate>): boolean {
  return proof === "mac";
}

/** Whether a lease that is not in use is this host's for certain, and to be given up. */
export function isOrphan(orphan: Claim<Candidate>, own: Claim<Candidate> | undefined): boolean {
  if (orphan.proof === "address" || orphan.proof === "machine") return orphan.proof === own?.proof;
  return true;
}

/**
 * Whether a lease is that of a host that leaves. By its address only where nothing else tells: that may be another
 * host's by now.
 */
export function isHeldBy({ parts, origin }: Pick<Lease, "parts" | "origin">, host: LeavingHost): boolean {
  return isOriginOf(origin, host) ?? parts.some(({ underlayAddress }) => host.addresses.has(underlayAddress));
}

/**
 * Whether an origin is that of a host; `undefined` where it does not say so. A machine id may be a clone's too, a MAC
 * is not.
 */
export function isOriginOf(
  origin: Origin | undefined,
  { machine, macs }: Pick<LeavingHost, "machine" | "macs">,
): boolean | undefined {
  if (compare(origin?.machine, machine) === "other") return false;
  return origin?.mac === undefined ? undefined : macs?.has(origin.mac);
}
