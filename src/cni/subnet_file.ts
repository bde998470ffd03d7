import { dirname } from "node:path";
import { fileReason } from "../log/file_reason.ts";
import { temporaryPath } from "./replace_file.ts";
import { statIfThere } from "./file.ts";
import { writeIfOther } from "./write_if_other.ts";
import { type Address, AF_INET, AF_INET6, formatAddress, formatPrefix } from "../model/address.ts";
import { familyOf, parsePrefix, type Prefix } from "../model/address.ts";
import type { Lease } from "../model/lease.ts";

/** What the agent tells the CNI plugin of this host. */
export interface SubnetFileContent {
  /** The cluster networks, at most one of each family. */
  readonly networks: readonly Prefix[];
  /** The own lease: which subnets this host holds, and by which backend. */
  readonly lease: Lease;
  /** The largest packet that a pod may send. */
  readonly mtuBytes: number;
  /** Whether packets that leave the cluster network take the host's address. */
  readonly masquerade: boolean;
}

/** What could be read of a subnet file. What is missing or malformed is absent. */
export interface SubnetFileReading {
  readonly networks: readonly Prefix[];
  readonly subnets: readonly Prefix[];
  readonly mtuBytes?: number;
  readonly masquerade?: boolean;
  readonly backendType?: string;
}

/** The subnet file can't be written. */
export class SubnetFileError extends Error {
  override readonly name = "SubnetFileError";

  constructor(readonly path: string, readonly reason: string) {
    super(
      `Cannot write the subnet file ${path}: ${reason}; make it writable, or name another with -subnet-file`,
    );
  }
}

/** A larger file is not a subnet file. */
const MAX_TEXT_LENGTH = 64 * 1024;
const LINE = /^(?:export\s+)?(FLANNEL_[A-Z0-9_]+)\s*[=:](.*)$/;

/** Each family's keys, in the order of the file. */
const FAMILIES = [
  { family: AF_INET, network: "FLANNEL_NETWORK", subnet: "FLANNEL_SUBNET" },
  { family: AF_INET6, network: "FLANNEL_IPV6_NETWORK", subnet: "FLANNEL_IPV6_SUBNET" },
] as const;

/**
 * Formats the file as flannel does, with `FLANNEL_BACKEND` behind the lines that flannel knows. The subnet is
 * written with its first host's address, which the plugin gives to the bridge.
 */
export function formatSubnetFile(content: SubnetFileContent): string {
  const lines: string[] = [];
  for (const { family, network, subnet } of FAMILIES) {
    const ofFamily = ({ address }: Prefix) => familyOf(address) === family;
    const held = content.lease.parts.map(({ subnet }) => subnet).find(ofFamily);
    const whole = content.networks.find(ofFamily);
    if (held === undefined || whole === undefined) continue;
    lines.push(
      `${network}=${formatPrefix(whole)}`,
      `${subnet}=${formatAddress(nextOf(held.address))}/${held.length}`,
    );
  }
  lines.push(`FLANNEL_MTU=${content.mtuBytes}`, `FLANNEL_IPMASQ=${content.masquerade}`);
  lines.push(`FLANNEL_BACKEND=${content.lease.backendType}`);
  return lines.map((line) => `${line}\n`).join("");
}

function nextOf(address: Address): Address {
  return (typeof address === "number" ? address + 1 : address + 1n) as Address;
}

/**
 * Reads a subnet file that anybody may have written: unknown lines are skipped, the last of two lines counts,
 * and a key that does not hold exactly one prefix is absent, as in flannel. Never throws.
 */
export function parseSubnetFile(text: string): SubnetFileReading {
  const values = new Map<string, string>();
  if (text.length <= MAX_TEXT_LENGTH) {
    for (const line of text.split(/\r?\n/)) {
      const match = LINE.exec(line.trim());
      if (match !== null) values.set(match[1]!, unquote(match[2]!.trim()));
    }
  }
  const prefixes = (key: "network" | "subnet") =>
    FAMILIES.flatMap((keys) => onePrefix(values.get(keys[key]) ?? "", keys.family) ?? []);
  const mtu = values.get("FLANNEL_MTU") ?? "";
  const masquerade = values.get("FLANNEL_IPMASQ");
  const backendType = values.get("FLANNEL_BACKEND") ?? "";
  return {
    networks: prefixes("network"),
    subnets: prefixes("subnet"),
    ...(/^\d{1,9}$/.test(mtu) && { mtuBytes: Number(mtu) }),
    ...(masquerade !== undefined && { masquerade: masquerade === "true" }),
    ...(/^[a-z][a-z0-9-]{0,62}$/.test(backendType) && { backendType }),
  };
}

/** Takes off quotes and what is behind them, or a comment behind a value without quotes. */
function unquote(value: string): string {
  const quote = value[0];
  const end = quote === '"' || quote === "'" ? value.indexOf(quote, 1) : -1;
  if (end !== -1) return value.slice(1, end);
  const comment = value.search(/\s#/);
  return comment === -1 ? value : value.slice(0, comment).trim();
}

/** The one valid prefix in a list with commas. */
function onePrefix(list: string, family: number): Prefix | undefined {
  const valid = list.split(",").flatMap((item) => {
    try {
      const prefix = parsePrefix(item.trim());
      return familyOf(prefix.address) === family ? prefix : [];
    } catch {
      return [];
    }
  });
  return valid.length === 1 ? valid[0] : undefined;
}

/** The subnets that this host held when it last ran: it gets them again where nobody else has them. */
export async function previousSubnets(path: string): Promise<readonly Prefix[]> {
  try {
    return parseSubnetFile(await Deno.readTextFile(path)).subnets;
  } catch {
    return [];
  }
}

/**
 * Proves that the subnet file can be written later, by making its folder and a file in it that is removed again.
 *
 * @throws {SubnetFileError} If it can't.
 */
export function checkSubnetFile(path: string): void {
  try {
    Deno.mkdirSync(dirname(path), { recursive: true });
    refuseFolder(statIfThere(path));
    const temporary = temporaryPath(path);
    Deno.writeTextFileSync(temporary, "", { createNew: true });
    Deno.removeSync(temporary);
  } catch (error) {
    throw new SubnetFileError(path, fileReason(error));
  }
}

/**
 * Writes the file so that a reader sees the old or the new one, never half of it. Permission bits of a file that
 * is there are kept, and one that says the same already is left alone, so that this can be asked after each pass.
 *
 * @returns Whether it was written.
 * @throws {SubnetFileError} If it can't be written; nothing is left behind.
 */
export function writeSubnetFile(path: string, text: string): boolean {
  try {
    return writeIfOther(path, text);
  } catch (error) {
    throw new SubnetFileError(path, fileReason(error));
  }
}

function refuseFolder(stat: Deno.FileInfo | undefined): void {
  if (stat?.isDirectory) throw new Error("it is a folder");
}
