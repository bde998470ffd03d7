import { prefixesOverlap, randomFreeSubnet } from "../core/prefix.ts";
import type { Log } from "../log/log.ts";
import {
  type Address,
  type Family,
  familyOf,
  formatAddress,
  formatPrefix,
  maskAddress,
  type Prefix,
  prefixContains,
} from "../model/address.ts";
import { coveredBy, coverReason, type GroundFact } from "./ground.ts";
import { compareAddresses } from "../model/ordered.ts";
import { RegistryError } from "./registry_error.ts";

/** The subnets that hosts may hold in one family. */
export interface FamilySubnets {
  readonly family: Family;
  readonly network: Prefix;
  /** Length in bits of each host's subnet. */
  readonly subnetLength: number;
  /** The first address of the first subnet that may be held. */
  readonly subnetMin: Address;
  /** The first address of the last subnet that may be held. */
  readonly subnetMax: Address;
  /** What of this host no subnet may cover; nothing if absent. */
  readonly ground?: () => readonly GroundFact[];
}

/** What a subnet is chosen by. */
export interface SubnetChoice {
  /** What other hosts hold in this family, in the order of addresses. */
  readonly taken: readonly Prefix[];
  /** What this host held before, of any family; taken again if it is free. */
  readonly previous: readonly Prefix[];
  /** 64 random bits. */
  readonly random: bigint;
  readonly log: Log;
}

/** Reports whether a host may hold `subnet`; never one with host bits, which others refuse. */
export function isAllowed(
  { network, subnetLength, subnetMin, subnetMax }: FamilySubnets,
  subnet: Prefix,
): boolean {
  return subnet.length === subnetLength && maskAddress(subnet.address, subnetLength) === subnet.address &&
    prefixContains(network, subnet.address) &&
    subnet.address >= subnetMin && subnet.address <= subnetMax;
}

/** What subnets there are, as a clause of a sentence. */
export function limits({ subnetLength, subnetMin, subnetMax }: FamilySubnets): string {
  return `subnets are /${subnetLength} from ${formatAddress(subnetMin)} to ${formatAddress(subnetMax)}`;
}

/** The subnet that the host had before if it is free, else one at random; `undefined` if there is none. */
export function chooseSubnet(family: FamilySubnets, choice: SubnetChoice): Prefix | undefined {
  const { previous, random, log } = choice;
  const ground = family.ground?.() ?? [];
  // What is in a subnet of before on other links than the underlay's is there for its pods.
  const needed = ground.filter(({ isForPods }) => isForPods !== true);
  const taken = withGround(choice.taken, family, ground);
  for (const subnet of previous.filter(({ address }) => familyOf(address) === family.family)) {
    const holder = choice.taken.find((other) => prefixesOverlap(other, subnet));
    const covered = coveredBy(subnet, needed);
    if (holder === undefined && covered === undefined && isAllowed(family, subnet)) return subnet;
    const reason = covered !== undefined
      ? coverReason(subnet, covered)
      : holder === undefined
      ? limits(family)
      : `${formatPrefix(holder)} is held by another host`;
    log.write("warn", "previous subnet not taken", { subnet: formatPrefix(subnet), reason });
  }
  return randomFreeSubnet({
    min: family.subnetMin,
    max: family.subnetMax,
    length: family.subnetLength,
    taken,
    random,
  });
}

/** What is held and what this host needs itself, in the order of addresses. */
function withGround(
  taken: readonly Prefix[],
  { family, subnetLength }: FamilySubnets,
  ground: readonly GroundFact[],
): readonly Prefix[] {
  const cells = new Map<Address, Prefix>();
  for (const { prefix: { address, length } } of ground) {
    if (familyOf(address) !== family || length < subnetLength) continue;
    const cell = { address: maskAddress(address, subnetLength), length: subnetLength };
    if (!taken.some((other) => prefixesOverlap(other, cell))) cells.set(cell.address, cell);
  }
  if (cells.size === 0) return taken;
  return [...taken, ...cells.values()].sort((a, b) => compareAddresses(a.address, b.address));
}

/** That no subnet is left, and what to do. */
export function exhausted(family: FamilySubnets, where: string): RegistryError {
  return new RegistryError(
    `take a subnet of ${formatPrefix(family.network)} in ${where}`,
    `all are held, ${limits(family)}; make the network larger or the subnets smaller, or remove hosts`,
  );
}
