import { join } from "node:path";
import type { JsonValue } from "../config/json.ts";
import { readUnlessOdd } from "../file/read_file.ts";
import { readText } from "../file/read_text.ts";
import type { Libc } from "../linux/libc.ts";
import { readReservations, type Reservation } from "./host_local.ts";
import { attachmentKey, type CachedResult, type Facts, type SavedAttachment } from "./leftovers.ts";
import { isObject, type JsonObject } from "../pods/net_conf.ts";
import { objectOf } from "../pods/result.ts";
import type { StateFolder } from "../pods/state.ts";
import { ifnameFault, isCniName, USUAL_IFNAME } from "../pods/cni_name.ts";

/** Where leftovers are looked for. */
export interface LeftoverPlaces {
  readonly state: StateFolder;
  /** Where `host-local` keeps its networks, unless a state file says otherwise. */
  readonly networksDir: string;
  /** Where the container runtime keeps results. */
  readonly resultsDir: string;
  /** A network that is looked at beside those of the state files; absent for none. */
  readonly network: string | undefined;
}

/** What is known of the host at this moment. */
export interface HostFacts extends Pick<Facts, "links" | "neighbours" | "bootedAtMs" | "nowMs"> {
  /** Reports whether there is something at a path, also where Deno does not look. */
  readonly isThere: (path: string) => boolean;
}

/** What was found, and what could not be read. */
export interface FactsReading extends Facts {
  /** Files of addresses that say something else: left alone. */
  readonly unreadable: readonly string[];
}

/** Where container runtimes keep what ADD returned (libcni). */
export const DEFAULT_RESULTS_DIR = "/var/lib/cni/results";

/** A larger one is not a result that a runtime has kept. */
const MAX_RESULT_BYTES = 1 << 20;
const MAX_RUN_ENTRIES = 10_000;

/**
 * Reads what is there of attachments, past and present. Networks that no state file names and nobody has asked for
 * are not looked at.
 *
 * @throws What the file system says, unless a folder is missing.
 */
export function readFacts(places: LeftoverPlaces, host: HostFacts): FactsReading {
  const states = readStates(places.state);
  const stores = new Map<string, readonly [folder: string, network: string]>();
  const look = (folder: string, network: string) => stores.set(`${folder} ${network}`, [folder, network]);
  if (places.network !== undefined) look(places.networksDir, places.network);
  for (const { network, text } of states) {
    const folder = storeOf(text, places.networksDir);
    if (network !== undefined && folder !== undefined) look(folder, network);
  }
  const reservations: Reservation[] = [];
  const unreadable: string[] = [];
  for (const [folder, network] of stores.values()) {
    const reading = readReservations(folder, network);
    reservations.push(...reading.reservations);
    unreadable.push(...reading.unreadable.map((name) => join(folder, network, name)));
  }
  const results = readResults([...reservations, ...states], places.resultsDir, host);
  const { links, neighbours, bootedAtMs, nowMs } = host;
  return { reservations, states, results, links, neighbours, bootedAtMs, nowMs, unreadable };
}

/** What is known of those who hold these addresses. */
export function factsOf(reservations: readonly Reservation[], resultsDir: string, host: HostFacts): Facts {
  const { links, neighbours, bootedAtMs, nowMs } = host;
  const results = readResults(reservations, resultsDir, host);
  return { reservations, states: [], results, links, neighbours, bootedAtMs, nowMs };
}

/** What the runtime has kept of each attachment. */
function readResults(
  attachments: readonly {
    readonly network: string | undefined;
    readonly containerId: string;
    readonly ifname: string | undefined;
  }[],
  resultsDir: string,
  host: HostFacts,
): ReadonlyMap<string, CachedResult> {
  const results = new Map<string, CachedResult>();
  for (const { network = "", containerId, ifname = USUAL_IFNAME } of attachments) {
    const key = attachmentKey(network, containerId, ifname);
    const result = results.has(key) ? undefined : readResult(join(resultsDir, key), host);
    if (result !== undefined) results.set(key, result);
  }
  return results;
}

/** An attachment whose result the runtime keeps. */
export interface KeptResult {
  readonly containerId: string;
  readonly ifname: string;
  /** The network configuration that it was attached by; empty where the runtime does not keep it. */
  readonly config: string;
}

/** The attachments to a network whose results the runtime keeps; what is no such result is passed by. */
export function readResultNames(resultsDir: string, network: string): KeptResult[] {
  const found: KeptResult[] = [];
  let entries: Deno.DirEntry[] = [];
  try {
    entries = [...Deno.readDirSync(resultsDir)];
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  for (const { name, isFile } of entries) {
    if (!isFile || !name.startsWith(`${network}-`)) continue;
    const path = join(resultsDir, name);
    const cache = objectOf(readUnlessOdd(path, MAX_RESULT_BYTES) ?? "");
    const { networkName, containerId, ifName, config } = cache ?? {};
    if (networkName !== network || typeof containerId !== "string" || typeof ifName !== "string") continue;
    if (isCniName(containerId) && ifnameFault(ifName) === undefined) {
      found.push({ containerId, ifname: ifName, config: fromBase64(config) });
    }
  }
  return found;
}

/** Text as JSON of Go carries bytes; empty if it is none. */
function fromBase64(value: JsonValue | undefined): string {
  try {
    return new TextDecoder().decode(Uint8Array.fromBase64(typeof value === "string" ? value : ""));
  } catch {
    return "";
  }
}

/**
 * A moment before which nothing of this boot can have been written: what the kernel counts back from now, or the
 * oldest thing in a folder that begins empty with each boot, if the clock was behind then.
 *
 * Source: proc(5), /proc/uptime.
 *
 * @param runFolder `/run`: file-hierarchy(7).
 */
export function bootedAtMs(libc: Libc, options: { nowMs: number; runFolder: string }): number {
  const [uptimeSeconds] = libc.readSysctl("/proc/uptime").split(" ").map(Number);
  const times = [options.nowMs - uptimeSeconds! * 1000];
  let count = 0;
  for (const { name } of Deno.readDirSync(options.runFolder)) {
    if (++count > MAX_RUN_ENTRIES) break;
    try {
      times.push(Deno.lstatSync(join(options.runFolder, name)).mtime?.getTime() ?? -Infinity);
    } catch {
      // Gone, or not for us.
    }
  }
  // Reduced, as a folder may have more entries than a call can have arguments.
  const earliest = times.reduce((first, time) => Math.min(first, time));
  return Number.isNaN(earliest) ? -Infinity : earliest;
}

/** All state files. One that can't be read names no network. */
export function readStates(state: StateFolder): SavedAttachment[] {
  return state.list().flatMap(({ containerId, ifname }): SavedAttachment[] => {
    const isName = isCniName(containerId) && (ifname === undefined || ifname !== "" && !ifnameFault(ifname));
    if (!isName) return [];
    const name = ifname === undefined ? containerId : `${containerId}@${ifname}`;
    try {
      const writtenAtMs = Deno.lstatSync(join(state.path, name)).mtime?.getTime() ?? Infinity;
      const text = state.read({ containerId, ifname: ifname ?? "" })?.text;
      if (text === undefined) return [];
      const config = objectOf(text);
      const network = config?.name;
      const isUsable = typeof config?.type === "string" && typeof network === "string" && isCniName(network);
      const hasStore = storeOf(text, "") !== undefined;
      return [{ containerId, ifname, network: isUsable ? network : undefined, text, hasStore, writtenAtMs }];
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      return [{ containerId, ifname, network: undefined, text: "", hasStore: false, writtenAtMs: Infinity }];
    }
  });
}

/** Where the delegate's `host-local` keeps its networks; absent where another plugin gives addresses. */
function storeOf(text: string, networksDir: string): string | undefined {
  const ipam = objectOf(text)?.ipam;
  if (!isObject(ipam) || ipam.type !== "host-local") return undefined;
  return typeof ipam.dataDir === "string" && ipam.dataDir.startsWith("/") ? ipam.dataDir : networksDir;
}

/** What the runtime has kept at `path`; absent if nothing is there. */
function readResult(path: string, { isThere }: HostFacts): CachedResult | undefined {
  let stat: Deno.FileInfo;
  try {
    stat = Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    return { hostLinks: undefined, hasSandbox: true, writtenAtMs: Infinity };
  }
  const writtenAtMs = stat.mtime?.getTime() ?? Infinity;
  const unreadable = { hostLinks: undefined, hasSandbox: true, writtenAtMs };
  if (!stat.isFile || stat.size > MAX_RESULT_BYTES) return unreadable;
  try {
    const cache = objectOf(readText(path, MAX_RESULT_BYTES));
    if (cache?.kind !== "cniCacheV1" || !isObject(cache.result)) return unreadable;
    const { interfaces } = cache.result;
    if (!Array.isArray(interfaces)) return { hostLinks: [], hasSandbox: true, writtenAtMs };
    const links = interfaces.filter((item: JsonValue) => isObject(item)) as JsonObject[];
    const sandboxOf = ({ sandbox }: JsonObject) => typeof sandbox === "string" ? sandbox : "";
    const hostLinks = links.filter((link) => sandboxOf(link) === "")
      .flatMap(({ name }) => typeof name === "string" && name !== "" ? name : []);
    const sandboxes = [...links.map(sandboxOf), typeof cache.netns === "string" ? cache.netns : ""];
    const hasSandbox = sandboxes.some((sandbox) => sandbox.startsWith("/") && isThere(sandbox));
    return { hostLinks, hasSandbox, writtenAtMs };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    return unreadable;
  }
}
