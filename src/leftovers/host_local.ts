import { join } from "node:path";
import { readText } from "../file/read_text.ts";
import { fileReason } from "../file/file_reason.ts";
import { pause } from "../loop/pause.ts";
import {
  type Address,
  AF_INET,
  bitsOf,
  familyOf,
  formatPrefix,
  parseAddress,
  type Prefix,
  prefixContains,
} from "../model/address.ts";
import { ifnameFault, isCniName } from "../pods/cni_name.ts";

/** An address that `host-local` has given to a container: one file in its store. */
export interface Reservation {
  readonly network: string;
  readonly address: Address;
  readonly containerId: string;
  /** Absent where an old `host-local` wrote it, which did not say. */
  readonly ifname: string | undefined;
  /** When the file was last written, in milliseconds since 1970. */
  readonly writtenAtMs: number;
  readonly path: string;
}

/** What a network's folder in the store holds. */
export interface StoreReading {
  readonly reservations: readonly Reservation[];
  /** Names of addresses whose files say something else, or can't be read. */
  readonly unreadable: readonly string[];
}

/** How much of a subnet is in use. */
export interface PoolUsage {
  readonly network: string;
  readonly subnet: string;
  /** Reserved addresses. */
  readonly used: number;
  /** Addresses that there are for containers; not exact above 2^53. */
  readonly size: number;
  /** Of those in use, how many are a vanished pod's; absent where that was not looked for. */
  readonly leftovers: number | undefined;
}

/** Where `host-local` keeps its networks unless it is told otherwise. */
export const DEFAULT_NETWORKS_DIR = "/var/lib/cni/networks";

/** A container's id, CR LF, a link's name. */
const MAX_FILE_BYTES = 512;
/** A folder with more is not read to its end: an IPv4 /16 has fewer. */
const MAX_FILES = 100_000;
/** As `host-local` makes it. */
const LOCK_MODE = 0o600;
const LOCK_ATTEMPTS = 500;
const LOCK_PAUSE_MS = 10;

/**
 * Reads the reservations of a network. Anything else in its folder is passed by, and never followed if it is a
 * link.
 *
 * Source: containernetworking/plugins, plugins/ipam/host-local/backend/disk: a file is named by its address and holds
 * the container's id, CR LF and the link's name.
 *
 * @param isWanted Which addresses are looked at; all if absent.
 * @throws What the file system says, unless there is no such folder.
 */
export function readReservations(
  networksDir: string,
  network: string,
  isWanted: (address: Address) => boolean = () => true,
): StoreReading {
  const reservations: Reservation[] = [];
  const unreadable: string[] = [];
  for (const { name, address } of addressFiles(networksDir, network)) {
    if (!isWanted(address)) continue;
    const path = join(networksDir, network, name);
    try {
      const holder = readHolder(path);
      if (holder === "gone") continue;
      if (holder === undefined) unreadable.push(name);
      else reservations.push({ network, address, path, ...holder });
    } catch {
      unreadable.push(name);
    }
  }
  return { reservations, unreadable };
}

/**
 * When something was last reserved or released in a network, in milliseconds since 1970; `undefined` if it has no
 * folder that can be seen.
 */
export function storeChangedAtMs(networksDir: string, network: string): number | undefined {
  if (!isCniName(network)) return undefined;
  try {
    const stat = Deno.statSync(join(networksDir, network));
    return stat.isDirectory ? stat.mtime?.getTime() ?? Infinity : undefined;
  } catch {
    return undefined;
  }
}

/**
 * How much of each subnet of a network is in use, from the names in one folder: a folder that can't be read has none.
 * Never throws.
 *
 * @param options.leftovers Addresses that are known to be no pod's any more.
 */
export function poolUsage(options: {
  readonly networksDir: string;
  readonly network: string;
  readonly subnets: readonly Prefix[];
  readonly leftovers?: readonly Address[];
}): PoolUsage[] {
  const { networksDir, network, subnets } = options;
  let used: readonly Address[] = [];
  try {
    used = addressFiles(networksDir, network).map(({ address }) => address);
  } catch {
    // What can't be read is not known to be used.
  }
  const reserved = new Set(used);
  const leftovers = options.leftovers?.filter((address) => reserved.has(address));
  return subnets.map((subnet) => {
    const isInside = (address: Address) => prefixContains(subnet, address);
    return {
      network,
      subnet: formatPrefix(subnet),
      used: used.filter(isInside).length,
      size: usableAddresses(subnet),
      leftovers: leftovers?.filter(isInside).length,
    };
  });
}

/**
 * The addresses of a subnet that `host-local` gives to containers: not the subnet's own, not the gateway, which is the
 * first, and in IPv4 not the broadcast address. A subnet of less than four is refused there.
 *
 * Source: containernetworking/plugins, plugins/ipam/host-local/backend/allocator/range.go.
 */
export function usableAddresses({ address, length }: Prefix): number {
  const family = familyOf(address);
  const hostBits = bitsOf(family) - length;
  if (hostBits < 2) return 0;
  return 2 ** hostBits - (family === AF_INET ? 3 : 2);
}

/**
 * Removes a reservation if it still says what it said, under the lock that `host-local` itself takes.
 *
 * @returns Whether it was removed; not if it is gone, or is another container's by now.
 * @throws {Error} If the lock is not to be had, or the file system refuses.
 */
export async function releaseReservation(seen: Reservation): Promise<boolean> {
  const lockPath = join(seen.path, "..", "lock");
  let lock: Deno.FsFile;
  try {
    lock = await Deno.open(lockPath, { read: true, write: true, create: true, mode: LOCK_MODE });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw new Error(`Cannot lock ${lockPath}: ${fileReason(error)}`);
  }
  using _ = lock;
  await take(lock, lockPath);
  try {
    return removeIfSame(seen);
  } finally {
    await lock.unlock();
  }
}

/** Takes the lock of flock(2). A holder that hangs must not hang us. */
async function take(lock: Deno.FsFile, path: string): Promise<void> {
  for (let attempt = 1; attempt <= LOCK_ATTEMPTS; attempt++) {
    if (await lock.tryLock(true)) return;
    await pause(LOCK_PAUSE_MS);
  }
  const seconds = LOCK_ATTEMPTS * LOCK_PAUSE_MS / 1000;
  throw new Error(
    `Cannot lock ${path}: another process has held it for ${seconds} s; look for one that hangs`,
  );
}

function removeIfSame(seen: Reservation): boolean {
  const now = readHolder(seen.path);
  const isSame = typeof now === "object" && now.containerId === seen.containerId &&
    now.ifname === seen.ifname && now.writtenAtMs === seen.writtenAtMs;
  if (!isSame) return false;
  Deno.removeSync(seen.path);
  return true;
}

type Holder = Pick<Reservation, "containerId" | "ifname" | "writtenAtMs">;

/** Who holds the address of a file; `undefined` if it says something else. */
function readHolder(path: string): Holder | "gone" | undefined {
  try {
    const stat = Deno.lstatSync(path);
    if (!stat.isFile || stat.size > MAX_FILE_BYTES) return undefined;
    const [containerId = "", ifname, ...more] = readText(path, MAX_FILE_BYTES).trim().split(/\r?\n/);
    if (more.length > 0 || !isCniName(containerId)) return undefined;
    if (ifname !== undefined && (ifname === "" || ifnameFault(ifname) !== undefined)) return undefined;
    return { containerId, ifname, writtenAtMs: stat.mtime?.getTime() ?? Infinity };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "gone";
    throw error;
  }
}

/** The files of a network that are named by an address. */
function addressFiles(networksDir: string, network: string): { name: string; address: Address }[] {
  if (!isCniName(network)) return [];
  const files: { name: string; address: Address }[] = [];
  let count = 0;
  try {
    for (const { name, isFile } of Deno.readDirSync(join(networksDir, network))) {
      if (++count > MAX_FILES) break;
      const address = isFile ? addressOf(name) : undefined;
      if (address !== undefined) files.push({ name, address });
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return files;
}

function addressOf(name: string): Address | undefined {
  try {
    return parseAddress(name);
  } catch {
    return undefined;
  }
}
