import { catch as fallback, maxLength, nullish, object, optional, string, unknown } from "zod/mini";
import { parseIpv4Text, parseIpv6Text } from "../../config/address_text.ts";
import {
  type Address,
  AF_INET,
  AF_INET6,
  familyOf,
  formatAddress,
  parseIpv4,
  parseIpv6,
  type Prefix,
} from "../../model/address.ts";
import type { Lease, LeasePart } from "../../model/lease.ts";
import { formatOrigin, originSchema } from "../origin_text.ts";
import { agesOf, agesSchema } from "./etcd_ages.ts";
import { type EtcdEntry, MAX_VALUE_BYTES } from "./etcd_wire.ts";

const MAX_BACKEND_TYPE_LENGTH = 64;
/** What others wrote is shown up to this length. */
const MAX_SHOWN_LENGTH = 80;

/**
 * The end of a lease's key, as flannel parses it: `10.5.1.0-24`, in dual stack `10.5.1.0-24&fd00:1:2:3::-64`. Loden's
 * own form for IPv6 alone, which flannel can't do, lacks the IPv4 part: `&fd00:1:2:3::-64`.
 *
 * Source: flannel pkg/subnet/subnet.go, `ParseSubnetKey`.
 */
const KEY = /^(?:(\d{1,3}(?:\.\d{1,3}){3})-(\d{1,2}))?(?:&([a-f0-9:]{2,39})-(\d{1,3}))?$/;
/** As flannel: a subnet of one address is none. */
const MAX_LENGTH = { 2: 31, 10: 127 } as const;

const valueSchema = object({
  PublicIP: fallback(nullish(string()), undefined),
  PublicIPv6: fallback(nullish(string()), undefined),
  BackendType: optional(string().check(maxLength(MAX_BACKEND_TYPE_LENGTH))),
  BackendData: optional(unknown()),
  BackendV6Data: optional(unknown()),
  LodenOrigin: originSchema,
  LodenSince: agesSchema,
});

/** What stands under a key, and the revisions that made it. */
export type EtcdRecord = Pick<EtcdEntry, "value" | "createRevision" | "modRevision" | "cutBytes">;

/** What a key holds: a lease, or why it is none. */
export type EntryReading =
  | { readonly lease: Lease }
  | { readonly reason: string };

/** The end of the key of a lease on `subnets`, which is also what the host is known by. */
export function formatSubnetKey(subnets: readonly Prefix[]): string {
  const text = ({ address, length }: Prefix) => `${formatAddress(address)}-${length}`;
  const [ipv4, ipv6] = [AF_INET, AF_INET6].map((family) =>
    subnets.find(({ address }) => familyOf(address) === family)
  );
  return `${ipv4 === undefined ? "" : text(ipv4)}${ipv6 === undefined ? "" : `&${text(ipv6)}`}`;
}

/** The subnets that a key stands for; `undefined` if it is not the key of a lease. */
export function parseSubnetKey(key: string): readonly Prefix[] | undefined {
  const match = KEY.exec(key);
  if (match === null) return undefined;
  const [, ipv4, ipv4Length, ipv6, ipv6Length] = match;
  const subnets: Prefix[] = [];
  try {
    if (ipv4 !== undefined) subnets.push({ address: parseIpv4(ipv4), length: Number(ipv4Length) });
    if (ipv6 !== undefined) subnets.push({ address: parseIpv6(ipv6), length: Number(ipv6Length) });
  } catch {
    return undefined;
  }
  const isShort = subnets.every(({ address, length }) => length <= MAX_LENGTH[familyOf(address)]);
  return isShort && subnets.length > 0 ? subnets : undefined;
}

/**
 * The value of a lease, with flannel's members in flannel's order; who the host is stands behind them, and since when
 * it says what it says.
 */
export function formatLeaseValue(
  { backendType, parts, origin }: Pick<Lease, "backendType" | "origin"> & {
    parts: readonly Omit<LeasePart, "subnet">[];
  },
  ages?: unknown,
): string {
  const said = formatOrigin(origin);
  const [ipv4, ipv6] = [AF_INET, AF_INET6].map((family) =>
    parts.find(({ underlayAddress }) => familyOf(underlayAddress) === family)
  );
  const isData = (part: Omit<LeasePart, "subnet"> | undefined) =>
    part?.backendData !== undefined && part.backendData !== null;
  return JSON.stringify({
    PublicIP: ipv4 === undefined ? "0.0.0.0" : formatAddress(ipv4.underlayAddress),
    PublicIPv6: ipv6 === undefined ? null : formatAddress(ipv6.underlayAddress),
    ...backendType !== "" && { BackendType: backendType },
    ...isData(ipv4) && { BackendData: ipv4!.backendData },
    ...isData(ipv6) && { BackendV6Data: ipv6!.backendData },
    ...said !== undefined && { LodenOrigin: said },
    ...ages !== undefined && { LodenSince: ages },
  });
}

/** The value of a lease without what flanneld does not know; `undefined` if there is nothing of the kind in it. */
export function plainLeaseValue(value: string): string | undefined {
  const { LodenOrigin: origin, LodenSince: since, ...flannels } = JSON.parse(value);
  return origin === undefined && since === undefined ? undefined : JSON.stringify(flannels);
}

/** Reads what stands under the key that ends in `host`. What is wrong with it concerns this entry alone. */
export function readEntry(host: string, { value, cutBytes, ...revisions }: EtcdRecord): EntryReading {
  const subnets = parseSubnetKey(host);
  if (subnets === undefined) return { reason: "its key is not that of a lease, as 10.5.1.0-24" };
  const bytes = cutBytes ?? value.length;
  if (bytes > MAX_VALUE_BYTES) {
    return { reason: `its value has ${bytes} bytes, and at most ${MAX_VALUE_BYTES} are read` };
  }
  let json: unknown;
  try {
    json = JSON.parse(value);
  } catch {
    return { reason: `its value must be JSON, is ${shown(value)}` };
  }
  const { data, error } = valueSchema.safeParse(json);
  if (data === undefined) {
    const where = error.issues[0]!.path.join(".");
    return {
      reason: `its value is not that of a lease${where === "" ? "" : `: ${where} is not as it must be`}`,
    };
  }
  const parts: LeasePart[] = [];
  for (const subnet of subnets) {
    const isIpv4 = familyOf(subnet.address) === AF_INET;
    const member = isIpv4 ? "PublicIP" : "PublicIPv6";
    const underlayAddress = addressOf(data[member], isIpv4);
    if (underlayAddress === undefined) {
      return {
        reason: `its ${member} must be an ${isIpv4 ? "IPv4" : "IPv6"} address, is ${shown(data[member])}`,
      };
    }
    const backendData = (isIpv4 ? data.BackendData : data.BackendV6Data) ?? null;
    parts.push({ subnet, underlayAddress, backendData });
  }
  const { LodenOrigin: origin, LodenSince: ages } = data;
  const backendType = data.BackendType ?? "";
  const said = origin !== undefined && { origin };
  return { lease: { host, backendType, parts, ...said, ...agesOf(revisions, ages) } };
}

function addressOf(text: string | null | undefined, isIpv4: boolean): Address | undefined {
  try {
    if (typeof text === "string") return isIpv4 ? parseIpv4Text(text) : parseIpv6Text(text);
  } catch {
    // Told by the caller.
  }
  return undefined;
}

/** The end of a key as it is shown to people: as it is where it could be that of a lease, else quoted and cut. */
export function shownHost(host: string): string {
  return /^[\w.:&-]{1,80}$/.test(host) ? host : shown(host);
}

/** What another program wrote, in ASCII: nothing in it can pass for the end of a line or turn the text around. */
function shown(value: unknown): string {
  const text = JSON.stringify(typeof value === "string" ? value.slice(0, MAX_SHOWN_LENGTH) : value);
  const plain = (text ?? "missing").replaceAll(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  const isCut = typeof value === "string" && value.length > MAX_SHOWN_LENGTH ||
    plain.length > MAX_SHOWN_LENGTH;
  return isCut ? `${plain.slice(0, MAX_SHOWN_LENGTH)}…` : plain;
}
