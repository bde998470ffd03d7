import { dirname, join } from "node:path";
import { besideSubnetFile } from "../config/beside_subnet_file.ts";
import { fileReason } from "../file/file_reason.ts";
import { readIfThere } from "../file/read_file.ts";
import {
  type Address,
  formatAddress,
  formatMac,
  isUnicastMac,
  type Mac,
  parseAddress,
  parseMac,
} from "../model/address.ts";

/** Where the kernel says which boot this is: another text each time (random(4)). */
export const BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id";

const BOOT_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** The next agent reads it, and nobody else: it has the token of the own lease. */
const FILE_MODE = 0o600;
/** Larger files are not ours. */
const MAX_BYTES = 64 * 1024;
/** Links that are read at most: a host has a VTEP a family. */
const MAX_VTEPS = 16;
/** Underlay addresses that are read at most: a host has one a family. */
const MAX_ADDRESSES = 2;
const MAX_TEXT_LENGTH = 1024;
/** `IFNAMSIZ` of linux/if.h, without the zero at the end. */
const MAX_NAME_LENGTH = 15;
/** Links that are read at most of those that forwarded before the host did. */
const MAX_ROUTER_LINKS = 256;

/** A link, as it is told from another of the same name. */
export interface LinkIdentity {
  readonly linkName: string;
  readonly mac: Mac;
}

/** What a registry gave to the holder of the own lease. */
export interface Holding {
  /** Which registry, as messages call it. */
  readonly registry: string;
  readonly token: string;
}

/** Which boot of which machine this is, what its VTEPs are called, and what was in use. */
export interface BootIdentity {
  readonly bootId: string;
  /** `undefined` where the underlay's link has no MAC. */
  readonly underlay: LinkIdentity | undefined;
  readonly vteps: readonly LinkIdentity[];
  /** The host's own addresses in the underlay, at most one a family. */
  readonly addresses: readonly Address[];
  /** `undefined` where no lease is held, or its registry gives nothing of the kind. */
  readonly holding: Holding | undefined;
  /** The links that forwarded IPv6 before the host did; absent where the host has forwarded ever since it was seen. */
  readonly routerLinks?: readonly string[] | undefined;
}

/**
 * What has happened since the identity was written.
 *
 * - `unknown`: it is a first start, or the file is gone, as all of /run is after a reboot. VTEPs get the MACs that
 *   the kernel or the lease has, else new ones.
 * - `same boot`: only the agent was restarted. Links and routes are there, and the data path was not interrupted.
 * - `rebooted`: nothing is there any more. VTEPs get the MACs that they had, also if the registry has forgotten the
 *   lease, so that what peers know stays right; the lease is announced again, and readiness waits for the data path.
 * - `other host`: the file was copied with the disk of another machine, or the network card was replaced. Its MACs
 *   are not used: two hosts with one MAC would take each other's packets.
 */
export type BootAnswer = {
  readonly kind: "unknown" | "same boot" | "rebooted" | "other host";
  /** Why, one clause for the log. */
  readonly reason: string;
  /** The MACs that VTEPs may have again, by link name; empty where they may not. */
  readonly vtepMacs: ReadonlyMap<string, Mac>;
  /**
   * What proves to the registry that the lease is this host's: of this boot and this network card only, as a file can
   * be copied to another machine.
   */
  readonly holding: Holding | undefined;
};

/** Tells what has happened between `previous` and `current`, whose VTEPs do not count. */
export function compareBoots(
  previous: BootIdentity | string,
  current: Pick<BootIdentity, "bootId" | "underlay">,
): BootAnswer {
  const none = new Map<string, Mac>();
  const holding = undefined;
  if (typeof previous === "string") return { kind: "unknown", reason: previous, vtepMacs: none, holding };
  const vtepMacs = new Map(previous.vteps.map(({ linkName, mac }) => [linkName, mac]));
  if (previous.bootId === current.bootId) {
    const isSameCard = previous.underlay?.mac === current.underlay?.mac;
    const held = isSameCard ? previous.holding : undefined;
    return { kind: "same boot", reason: "the boot id is the same", vtepMacs, holding: held };
  }
  const [was, is] = [previous.underlay, current.underlay];
  // The link may be called otherwise after a reboot, or another one be chosen: only the MAC tells machines apart.
  if (was !== undefined && is !== undefined && was.mac !== is.mac) {
    const reason = `link ${is.linkName} has the MAC ${formatMac(is.mac)}, and ${was.linkName} had ${
      formatMac(was.mac)
    }`;
    return { kind: "other host", reason, vtepMacs: none, holding };
  }
  return { kind: "rebooted", reason: "the boot id is another one", vtepMacs, holding };
}

/** Where the identity is kept: beside the subnet file. */
export function bootIdentityPath(subnetFilePath: string): string {
  return besideSubnetFile(subnetFilePath, "boot.json");
}

/** Where versions up to 0.1 kept it, beside a subnet file of any name. */
export function earlierBootIdentityPath(subnetFilePath: string): string {
  return join(dirname(subnetFilePath), "boot.json");
}

/** What was kept last; the reason, one clause, if there is nothing to go by. Never throws. */
export function readBootIdentity(path: string): BootIdentity | string {
  try {
    const text = readIfThere(path, MAX_BYTES);
    if (text === undefined) return `there is no ${path}`;
    return parseBootIdentity(text) ?? `${path} holds no boot identity`;
  } catch (error) {
    return `${path} can't be read: ${fileReason(error)}`;
  }
}

/**
 * Writes `identity` into the file, unless it is there. Reports whether it had to be written.
 *
 * @param replaceFile Puts a file in place of another, whole or not at all.
 * @throws What the file system says.
 */
export function keepBootIdentity(
  path: string,
  identity: BootIdentity,
  replaceFile: (path: string, text: Iterable<string>, mode: number) => void,
): boolean {
  const text = formatBootIdentity(identity);
  if (readIfThere(path, MAX_BYTES) === text) return false;
  replaceFile(path, [text], FILE_MODE);
  return true;
}

/** The text of the file, JSON. */
export function formatBootIdentity(identity: BootIdentity): string {
  const { bootId, underlay, vteps, addresses, holding, routerLinks } = identity;
  const link = ({ linkName, mac }: LinkIdentity) => ({ name: linkName, mac: formatMac(mac) });
  return JSON.stringify({
    bootId,
    underlay: underlay && link(underlay),
    vteps: vteps.map(link),
    addresses: addresses.map(formatAddress),
    holding,
    routerLinks,
  }) + "\n";
}

/** Reads the text of the file; `undefined` if it is anything else. */
export function parseBootIdentity(text: string): BootIdentity | undefined {
  try {
    const { bootId, underlay, vteps, addresses = [], holding, routerLinks } = JSON.parse(text);
    if (typeof bootId !== "string" || !BOOT_ID.test(bootId)) return undefined;
    if (!Array.isArray(vteps) || vteps.length > MAX_VTEPS) return undefined;
    if (!Array.isArray(addresses) || addresses.length > MAX_ADDRESSES) return undefined;
    return {
      bootId,
      underlay: underlay === undefined ? undefined : parseLink(underlay),
      vteps: vteps.map(parseLink),
      addresses: addresses.map((text: unknown) => parseAddress(String(text))),
      holding: holding === undefined ? undefined : parseHolding(holding),
      ...routerLinks !== undefined && { routerLinks: parseNames(routerLinks) },
    };
  } catch {
    return undefined;
  }
}

function parseHolding({ registry, token }: { readonly registry: unknown; readonly token: unknown }): Holding {
  const isText = (value: unknown): value is string =>
    typeof value === "string" && value !== "" && value.length <= MAX_TEXT_LENGTH;
  if (!isText(registry) || !isText(token)) throw new SyntaxError("no holding");
  return { registry, token };
}

function parseNames(names: unknown): string[] {
  if (!Array.isArray(names) || names.length > MAX_ROUTER_LINKS) throw new SyntaxError("no list of links");
  return names.map(parseName);
}

function parseName(name: unknown): string {
  if (typeof name !== "string" || name === "" || name.length > MAX_NAME_LENGTH) {
    throw new SyntaxError("no link name");
  }
  return name;
}

function parseLink({ name, mac }: { readonly name: unknown; readonly mac: unknown }): LinkIdentity {
  const linkName = parseName(name);
  const parsed = parseMac(String(mac));
  if (!isUnicastMac(parsed)) throw new SyntaxError("no unicast MAC");
  return { linkName, mac: parsed };
}
