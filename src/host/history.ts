import { besideSubnetFile } from "../config/beside_subnet_file.ts";
import { readIfThere } from "../file/read_file.ts";
import { replaceFile } from "../file/replace_file.ts";
import { formatPrefix, parsePrefix, type Prefix } from "../model/address.ts";

/** What agents of this boot have made state for, as it must be known once the configuration says otherwise. */
export interface Applied {
  readonly bootId: string;
  /** The cluster networks, those of earlier configurations as well until nothing is left of them. */
  readonly networks: readonly Prefix[];
  /** Whether flannel's routes that were there before have been taken over. */
  readonly hasAdopted: boolean;
}

/** What this host has had, as far as later agents must know it. */
export interface HostHistory {
  /** `undefined` if there is nothing to go by. */
  readonly applied: Applied | undefined;
  /** The subnets, the oldest first: the subnet file says only what it has. */
  readonly subnets: readonly Prefix[];
}

/** The next agent reads it, and nobody else. */
const FILE_MODE = 0o600;
/** Larger files are not ours. */
const MAX_BYTES = 16 * 1024;
const MAX_NETWORKS = 16;
/** Of more, the newest are kept: a host has two, and others only as long as pods outlive them. */
const MAX_SUBNETS = 64;

/** Where it is kept: beside the subnet file. */
export function historyPath(subnetFilePath: string): string {
  return besideSubnetFile(subnetFilePath, "history.json");
}

/** Where versions up to 0.1 kept it: what was applied, and the subnets. */
export function earlierHistoryPaths(subnetFilePath: string): readonly string[] {
  return ["applied.json", "held.json"].map((name) => besideSubnetFile(subnetFilePath, name));
}

/** What was kept last, in whichever version's files. Never throws. */
export function readHistory(subnetFilePath: string): HostHistory {
  const now = read(historyPath(subnetFilePath));
  // An earlier version that is run again writes its files beside it: they are newer, and know less.
  const earlier = earlierHistoryPaths(subnetFilePath).map(read);
  const subnets = unite([now, ...earlier].map((history) => history.subnets));
  const applied = earlier.find((history) => history.applied !== undefined)?.applied;
  if (applied === undefined || applied.bootId !== now.applied?.bootId) {
    return { applied: applied ?? now.applied, subnets };
  }
  const networks = unite([now.applied.networks, applied.networks]);
  return { applied: { ...applied, networks }, subnets };
}

/**
 * Keeps what has changed of it, beside what was kept before.
 *
 * @throws What the file system says.
 */
export function keepHistory(subnetFilePath: string, changed: Partial<HostHistory>): void {
  const { applied, subnets } = { ...readHistory(subnetFilePath), ...changed };
  const text = JSON.stringify({
    ...applied,
    networks: applied?.networks.slice(-MAX_NETWORKS).map(formatPrefix),
    subnets: subnets.slice(-MAX_SUBNETS).map(formatPrefix),
  });
  replaceFile(historyPath(subnetFilePath), [`${text}\n`], FILE_MODE);
  for (const path of earlierHistoryPaths(subnetFilePath)) {
    if (readObject(path) !== undefined) Deno.removeSync(path);
  }
}

/** What one file says. */
function read(path: string): HostHistory {
  const { subnets, ...applied } = (readObject(path) ?? {}) as Record<string, unknown>;
  return { applied: parseApplied(applied), subnets: parsePrefixes(subnets, MAX_SUBNETS) ?? [] };
}

/** All prefixes of some lists, each once, in their order. */
function unite(lists: readonly (readonly Prefix[])[]): readonly Prefix[] {
  return [...new Map(lists.flat().map((prefix) => [formatPrefix(prefix), prefix])).values()];
}

/** The object in a file; `undefined` if there is anything else. */
function readObject(path: string): object | undefined {
  try {
    const value: unknown = JSON.parse(readIfThere(path, MAX_BYTES) ?? "");
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function parseApplied(fields: Readonly<Record<string, unknown>>): Applied | undefined {
  const { bootId, networks, hasAdopted } = fields;
  const prefixes = parsePrefixes(networks, MAX_NETWORKS);
  if (typeof bootId !== "string" || typeof hasAdopted !== "boolean" || prefixes === undefined) {
    return undefined;
  }
  return { bootId, networks: prefixes, hasAdopted };
}

/** A list of so many prefixes at most; `undefined` if it is anything else. */
function parsePrefixes(list: unknown, max: number): readonly Prefix[] | undefined {
  if (!Array.isArray(list) || list.length > max) return undefined;
  try {
    return list.map((prefix) => parsePrefix(String(prefix)));
  } catch {
    return undefined;
  }
}
