import { type Address, bitsOf, familyOf, type Ipv4, type Ipv6, type Prefix } from "../model/address.ts";
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
 * A free subnet of a range, each as likely as the others; `undefined` if there is none. In a range of more than
 * 2^63 subnets the first 2^63 are looked at.
 *
 * @param range.random 64 random bits.
 */
export function randomFreeSubnet(range: SubnetRange & { readonly random: bigint }): Prefix | undefined {
  const { min, max, length, random } = range;
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
  wasm.nthSubnet(...halves(min), length, width, wasm.freeNumber(wasm.scaleToFree(random)));
  return { address: result(min), length };
}
