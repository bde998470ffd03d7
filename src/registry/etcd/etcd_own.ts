import type { Log } from "../../log/log.ts";
import { familyOf, type Prefix, prefixEquals } from "../../model/address.ts";
import type { Lease } from "../../model/lease.ts";
import { type FamilySubnets, isAllowed } from "../choose_subnet.ts";
import { type Candidate, type Claim, ownClaims, PROOFS } from "../own_lease.ts";
import { proveClaims } from "../prove_claims.ts";
import type { LeaseRequest } from "../registry.ts";
import type { EtcdClient } from "./etcd_client.ts";
import { parseSubnetKey, readEntry } from "./etcd_format.ts";
import type { EtcdEntry } from "./etcd_wire.ts";
import { NO_LEASE } from "./etcd_write.ts";

/** Who looks for its lease, and what it may take. */
export interface EtcdClaimant {
  /** What the keys of leases begin with, with a slash at the end: `/coreos.com/network/subnets/`. */
  readonly folder: string;
  readonly families: readonly FamilySubnets[];
  readonly previousSubnets: readonly Prefix[];
  /** The etcd leases that this host has lived by: what was granted is added before it is used. */
  readonly tokens: Set<string>;
  /** The one that the process before this one lived by, as a file has it. */
  readonly rememberedToken: string | undefined;
  /** The lease that this process has written last: whoever spoils that makes it no younger. */
  readonly said: Lease | undefined;
  /** The etcd leases of holders that were seen to live: what is theirs is not this host's, however alike the hosts are. */
  readonly living: Set<string>;
  readonly ttlMs: number;
  /** A holder that has shown no sign of life for so long is gone. */
  readonly silentMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** 64 random bits. */
  readonly random: () => bigint;
  readonly log: Log;
}

/** A lease as it stands in etcd. */
export interface EtcdCandidate extends Candidate {
  readonly entry: EtcdEntry;
}

/** Finds the own lease, if there is one: one that suits the configuration before one that does not. */
export async function findOwn(
  client: EtcdClient,
  entries: readonly EtcdEntry[],
  request: LeaseRequest,
  claimant: EtcdClaimant,
  options: { readonly signal: AbortSignal },
): Promise<EtcdCandidate | undefined> {
  const claims = await provenClaims(client, entries, request, claimant, options);
  return (claims.find(({ candidate }) => isKept(candidate.lease, claimant)) ?? claims[0])?.candidate;
}

/** What is this host's for certain, the best proof first. Of what is in doubt, the holder is waited for. */
export async function provenClaims(
  client: EtcdClient,
  entries: readonly EtcdEntry[],
  request: LeaseRequest,
  claimant: EtcdClaimant,
  options: { readonly signal: AbortSignal },
): Promise<Claim<EtcdCandidate>[]> {
  const held = entries.flatMap((entry): EtcdCandidate[] => {
    const host = entry.key.slice(claimant.folder.length);
    const reading = readEntry(host, entry);
    const token = entry.lease === NO_LEASE ? {} : { token: entry.lease };
    if ("lease" in reading) return [{ entry, lease: reading.lease, ...token }];
    // Another program has spoilt the value of the own key.
    const { said, tokens } = claimant;
    const isOwn = tokens.has(entry.lease) || said?.host === host && said.since === entry.createRevision;
    const subnets = isOwn ? parseSubnetKey(host) ?? [] : [];
    const parts = subnets.flatMap((subnet) => {
      const asked = request.parts.find((part) => familyOf(part.underlayAddress) === familyOf(subnet.address));
      return asked === undefined ? [] : [{ ...asked, subnet }];
    });
    return parts.length === 0 ? [] : [{ entry, lease: { host, backendType: "", parts }, ...token }];
  });
  const { origin, parts } = request;
  const { tokens, rememberedToken, previousSubnets } = claimant;
  const claims = ownClaims(held, { origin, parts, tokens, rememberedToken, previousSubnets });
  const proven = await proveClaims(claims, {
    ...claimant,
    suits: (lease) => isKept(lease, claimant),
    showsLife: ({ token }) => token !== undefined,
    ageSeconds: ({ entry }) => client.ageOf(entry.lease, options),
  }, options);
  return sortKept(proven, claimant);
}

/** Those that suit first, and of these one on a subnet that the host held before. */
function sortKept(claims: readonly Claim<EtcdCandidate>[], claimant: EtcdClaimant): Claim<EtcdCandidate>[] {
  const isPrevious = ({ parts }: Lease) =>
    parts.some(({ subnet }) => claimant.previousSubnets.some((previous) => prefixEquals(previous, subnet)));
  const proof = (claim: Claim<EtcdCandidate>) => PROOFS.indexOf(claim.proof);
  const rank = ({ candidate: { lease } }: Claim<EtcdCandidate>) =>
    (isKept(lease, claimant) ? 2 : 0) + (isPrevious(lease) ? 1 : 0);
  return claims.toSorted((a, b) => proof(b) - proof(a) || rank(b) - rank(a));
}

/** Whether a lease has what is asked for: a subnet of each family, and no other. */
export function isKept({ parts }: Lease, { families }: Pick<EtcdClaimant, "families">): boolean {
  return parts.length === families.length && families.every((family, at) => {
    const subnet = parts[at]!.subnet;
    return familyOf(subnet.address) === family.family && isAllowed(family, subnet);
  });
}
