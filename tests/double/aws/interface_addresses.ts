import { parsePrefix, prefixContains } from "../../../src/model/address.ts";
import { AwsError, invalidValue } from "./aws_error.ts";
import type { Cloud } from "./cloud.ts";
import type { Query } from "./query.ts";
import { canonicalAddress, type NetworkInterface, type Subnet } from "./resources.ts";

/** The length of the prefixes that an ENI can be given. */
const PREFIX_LENGTH = 28;
const PREFIX_ADDRESSES = 16;

/** @throws {AwsError} If it does not exist. */
export function interfaceOf(cloud: Cloud, id: string): NetworkInterface {
  const eni = cloud.interfaces.get(id);
  if (eni === undefined) {
    throw new AwsError(
      "InvalidNetworkInterfaceID.NotFound",
      `The networkInterface ID '${id}' does not exist`,
    );
  }
  return eni;
}

/** What AssignPrivateIpAddresses gave. */
export interface Given {
  readonly addresses: readonly string[];
  readonly prefixes: readonly string[];
}

/** AssignPrivateIpAddresses. */
export function assignAddresses(cloud: Cloud, query: Query): Given {
  const eni = interfaceOf(cloud, query.required("NetworkInterfaceId"));
  const given = giveAddresses(cloud, eni, {
    addresses: query.list("PrivateIpAddress"),
    count: query.integer("SecondaryPrivateIpAddressCount") ?? 0,
    prefixes: query.list("Ipv4Prefix"),
    prefixCount: query.integer("Ipv4PrefixCount") ?? 0,
  }, query.flag("AllowReassignment") ?? false);
  if (given.addresses.length + given.prefixes.length === 0) {
    throw new AwsError("MissingParameter", "The request must contain the parameter privateIpAddress");
  }
  cloud.changed();
  return given;
}

/** UnassignPrivateIpAddresses. */
export function unassignAddresses(cloud: Cloud, query: Query): boolean {
  const eni = interfaceOf(cloud, query.required("NetworkInterfaceId"));
  const [addresses, prefixes] = [query.list("PrivateIpAddress"), query.list("Ipv4Prefix")];
  for (const one of [...addresses, ...prefixes]) {
    if (!eni.addresses.slice(1).includes(one) && !eni.ipv4Prefixes.includes(one)) {
      throw invalidValue(`Some of the given addresses are not assigned to interface '${eni.id}': ${one}`);
    }
  }
  eni.addresses = eni.addresses.filter((address) => !addresses.includes(address));
  eni.ipv4Prefixes = eni.ipv4Prefixes.filter((prefix) => !prefixes.includes(prefix));
  cloud.changed();
  return true;
}

/** AssignIpv6Addresses. */
export function assignIpv6(cloud: Cloud, query: Query): readonly string[] {
  const eni = interfaceOf(cloud, query.required("NetworkInterfaceId"));
  const explicit = query.list("Ipv6Addresses").map((text) => giveIpv6(cloud, eni, canonicalAddress(text)));
  const count = query.integer("Ipv6AddressCount") ?? 0;
  const chosen = Array.from({ length: count }, () => giveIpv6(cloud, eni));
  cloud.changed();
  return [...explicit, ...chosen];
}

/** Gives an ENI an IPv6 address, one of its own choice if none is wanted. */
export function giveIpv6(cloud: Cloud, eni: NetworkInterface, wanted?: string): string {
  const { ipv6Cidr } = cloud.subnets.get(eni.subnetId)!;
  if (ipv6Cidr === undefined) {
    throw invalidValue(`The subnet '${eni.subnetId}' has no IPv6 CIDR block associated with it.`);
  }
  const address = wanted ?? cloud.freeAddress(eni.subnetId, ipv6Cidr);
  if ([...cloud.interfaces.values()].some(({ ipv6Addresses }) => ipv6Addresses.includes(address))) {
    throw invalidValue(`Address '${address}' is already in use.`);
  }
  eni.ipv6Addresses.push(address);
  return address;
}

/** What an ENI is to be given. */
interface Wanted {
  readonly addresses: readonly string[];
  readonly count: number;
  readonly prefixes: readonly string[];
  readonly prefixCount: number;
}

/** Gives an ENI private addresses and prefixes. */
export function giveAddresses(
  cloud: Cloud,
  eni: NetworkInterface,
  wanted: Wanted,
  isReassigned: boolean,
): Given {
  const subnet = cloud.subnets.get(eni.subnetId)!;
  checkLimit(cloud, eni, wanted);
  for (const address of wanted.addresses) {
    if (isReassigned) {
      for (const other of cloud.interfaces.values()) {
        other.addresses = other.addresses.filter((one, at) => at === 0 || one !== address);
      }
    }
    checkFree(cloud, subnet, address);
    eni.addresses.push(address);
  }
  const chosen = Array.from({ length: wanted.count }, () => {
    const address = cloud.freeAddress(subnet.id);
    eni.addresses.push(address);
    return address;
  });
  const prefixes = [...wanted.prefixes];
  for (let left = wanted.prefixCount; left > 0; left--) {
    prefixes.push(freePrefix(cloud, subnet, prefixes));
  }
  eni.ipv4Prefixes.push(...prefixes);
  return { addresses: [...wanted.addresses, ...chosen], prefixes };
}

/** A prefix counts as one address. */
function checkLimit(cloud: Cloud, eni: NetworkInterface, wanted: Wanted): void {
  const instance = cloud.instances.get(eni.attachment?.instanceId ?? "");
  if (instance === undefined) return;
  const limit = cloud.instanceTypes.get(instance.type)!.addressesPerInterface;
  const more = wanted.addresses.length + wanted.count + wanted.prefixes.length + wanted.prefixCount;
  if (eni.addresses.length + eni.ipv4Prefixes.length + more > limit) {
    throw new AwsError(
      "PrivateIpAddressLimitExceeded",
      `Number of private addresses will exceed limit.`,
    );
  }
}

/** @throws {AwsError} Unless an address lies in the subnet, and no ENI has it. */
export function checkFree(cloud: Cloud, subnet: Subnet, text: string): void {
  const address = canonicalAddress(text);
  if (!prefixContains(parsePrefix(subnet.cidr), parsePrefix(`${address}/32`).address)) {
    throw invalidValue(`Address does not fall within the subnet's address range`);
  }
  if ([...cloud.interfaces.values()].some(({ addresses }) => addresses.includes(address))) {
    throw new AwsError("InvalidIPAddress.InUse", `Address ${address} is in use.`);
  }
}

/** Prefixes are taken from the end of the subnet, where single addresses come last. */
function freePrefix(cloud: Cloud, subnet: Subnet, taken: readonly string[]): string {
  const { address, length } = parsePrefix(subnet.cidr);
  const used = new Set(
    [...cloud.interfaces.values()].flatMap(({ ipv4Prefixes }) => ipv4Prefixes).concat(taken),
  );
  for (let at = 2 ** (PREFIX_LENGTH - length) - 2; at > 0; at--) {
    const first = (address as number) + at * PREFIX_ADDRESSES;
    const text = `${[24, 16, 8, 0].map((shift) => first >>> shift & 255).join(".")}/${PREFIX_LENGTH}`;
    if (!used.has(text)) return text;
  }
  throw new AwsError("InsufficientCidrBlocks", `The subnet '${subnet.id}' has no free prefix.`);
}
