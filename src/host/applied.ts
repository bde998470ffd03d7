import { besideSubnetFile } from "../config/beside_subnet_file.ts";
import { formatPrefix, parsePrefix, type Prefix } from "../model/address.ts";

/** What agents of this boot have made state for, as it must be known once the configuration says otherwise. */
export interface Applied {
  readonly bootId: string;
  /** The cluster networks, those of earlier configurations as well until nothing is left of them. */
  readonly networks: readonly Prefix[];
  /** Whether flannel's routes that were there before have been taken over. */
  readonly hasAdopted: boolean;
}

const FILE_MODE = 0o644;
/** Larger files are not ours. */
const MAX_BYTES = 4096;
const MAX_NETWORKS = 16;

/** Where it is kept: beside the subnet file. */
export function appliedPath(subnetFilePath: string): string {
  return besideSubnetFile(subnetFilePath, "applied.json");
}

/** What was kept last; `undefined` if there is nothing to go by. Never throws. */
export function readApplied(path: string): Applied | undefined {
  try {
    const { isFile, size } = Deno.lstatSync(path);
    return isFile && size <= MAX_BYTES ? parseApplied(Deno.readTextFileSync(path)) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Sees to it that the file says `applied`.
 *
 * @param replaceFile Puts a file in place of another, whole or not at all.
 * @throws What the file system says.
 */
export function keepApplied(
  path: string,
  applied: Applied,
  replaceFile: (path: string, text: Iterable<string>, mode: number) => void,
): void {
  replaceFile(path, [formatApplied(applied)], FILE_MODE);
}

/** The text of the file, JSON. */
export function formatApplied({ bootId, networks, hasAdopted }: Applied): string {
  return `${JSON.stringify({ bootId, networks: networks.map(formatPrefix), hasAdopted })}\n`;
}

/** Reads the text of the file; `undefined` if it is anything else, whoever wrote it. */
export function parseApplied(text: string): Applied | undefined {
  try {
    const { bootId, networks, hasAdopted } = JSON.parse(text);
    if (typeof bootId !== "string" || typeof hasAdopted !== "boolean") return undefined;
    if (!Array.isArray(networks) || networks.length > MAX_NETWORKS) return undefined;
    return { bootId, networks: networks.map((network: unknown) => parsePrefix(String(network))), hasAdopted };
  } catch {
    return undefined;
  }
}
