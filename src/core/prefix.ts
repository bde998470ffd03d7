import {
  type Address,
  bitsOf,
  familyOf,
  formatPrefix,
  type Ipv4,
  type Ipv6,
  type Prefix,
} from "../model/address.ts";
import * as wasm from "../../wasm/build/core.wasm";

const LOW_BITS = 64n;
const LOW_MASK = 0xffff_ffff_ffff_ffffn;
/** 64-bit words of one taken prefix: high, low, length. */
const TAKEN_WORDS = 3;

/** The range that a free subnet is searched in. */
export interface SubnetRange {
  /** First address of the first subnet. */
  readonly min: Address;
  /** First address of the last subnet, same family. */
  readonly max: Address;
  /** Prefix length in bits of the subnets. */
  readonly length: number;
  /** Prefixes of any length; a subnet that overlaps one is not free. */
  readonly taken: Iterable<Prefix>;
}

type Halves = readonly [high: bigint, low: bigint];

function halves(address: Address): Halves {
  const value = BigInt(address);
  return [value >> LOW_BITS, value & LOW_MASK];
}

/** The address that the core returned last. The core's numbers come back signed. */
function result(like: Address): Address {
  const low = BigInt.asUintN(64, wasm.resultLow());
  return typeof like === "number"
    ? Number(low) as Ipv4
    : (BigInt.asUintN(64, wasm.resultHigh()) << LOW_BITS | low) as Ipv6;
}

function widthOf(address: Address): number {
  return bitsOf(familyOf(address));
}

/** The last address of a prefix; for IPv4 the broadcast address. */
export function lastAddress({ address, length }: Prefix): Address {
  wasm.lastAddress(...halves(address), length, widthOf(address));
  return result(address);
}

/** Reports whether every address of `inner` is in `outer`; never across families. */
export function prefixCovers(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && prefixesOverlap(outer, inner);
}

/** Reports whether two prefixes have an address in common; never across families. */
export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  if (typeof a.address !== typeof b.address) return false;
  const length = Math.min(a.length, b.length);
  return wasm.shares(...halves(a.address), ...halves(b.address), length, widthOf(a.address)) !== 0;
}

/**
 * The subnet of `length` bits that is number `index`, from 0, in `network`.
 *
 * @throws {RangeError} If the network has no such subnet.
 */
export function nthSubnet(network: Prefix, length: number, index: bigint): Prefix {
  const width = widthOf(network.address);
  const count = length < network.length || length > width ? 0n : 1n << BigInt(length - network.length);
  if (index < 0n || index >= count) {
    throw new RangeError(
      `Cannot take /${length} subnet ${index} of ${formatPrefix(network)}: it has ${count}`,
    );
  }
  if (index >> 63n !== 0n) {
    throw new RangeError(
      `Cannot take /${length} subnet ${index} of ${formatPrefix(network)}: at most 2^63 count`,
    );
  }
  wasm.nthSubnet(...halves(network.address), length, width, index);
  return { address: result(network.address), length };
}

/** The number, from 0, of `subnet` among those of its length in `network`, which holds it; at most 2^63 - 1. */
export function subnetIndex(network: Prefix, subnet: Prefix): bigint {
  return BigInt.asUintN(
    64,
    wasm.subnetsBetween(
      ...halves(network.address),
      ...halves(subnet.address),
      subnet.length,
      widthOf(network.address),
    ),
  );
}

/** The first free subnet of a range; `undefined` if there is none. */
export function firstFreeSubnet(range: SubnetRange): Prefix | undefined {
  return freeSubnet(range, () => 0n);
}

/**
 * A free subnet of a range, each as likely as the others; `undefined` if there is none. In a range of more than
 * 2^63 subnets the first 2^63 are looked at.
 *
 * @param range.random 64 random bits.
 */
export function randomFreeSubnet(range: SubnetRange & { readonly random: bigint }): Prefix | undefined {
  return freeSubnet(range, () => wasm.scaleToFree(range.random));
}

function freeSubnet(range: SubnetRange, choose: () => bigint): Prefix | undefined {
  const { min, max, length } = range;
  if (typeof min !== typeof max || min > max) return undefined;
  const width = widthOf(min);
  const taken = [...range.taken].filter(({ address }) => typeof address === typeof min);
  if (wasm.reserveTaken(taken.length) !== 0) {
    throw new RangeError(`Cannot search a free subnet among ${taken.length} taken ones: too many`);
  }
  const words = new BigUint64Array(wasm.memory.buffer, wasm.takenPtr() >>> 0, taken.length * TAKEN_WORDS);
  for (const [index, prefix] of taken.entries()) {
    words.set([...halves(prefix.address), BigInt(prefix.length)], index * TAKEN_WORDS);
  }
  if (wasm.countFree(...halves(min), ...halves(max), length, width) === 0n) return undefined;
  wasm.nthSubnet(...halves(min), length, width, wasm.freeNumber(choose()));
  return { address: result(min), length };
}
