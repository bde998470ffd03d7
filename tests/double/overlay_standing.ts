import { assert, assertEquals } from "@std/assert";
import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import { waitUntil } from "../../src/lab/wait.ts";
import { AF_INET, familyOf, formatAddress } from "../../src/model/address.ts";
import { httpGet } from "./overlay_http.ts";
import { assertNoneLost, RunningPing } from "./overlay_ping.ts";
import type { HeldLease } from "./overlay_leases.ts";
import type { RegistryOverlay } from "./overlay_registries.ts";
import { statusOf, untilReachable } from "./overlay_rig.ts";

/** What a condition may take to come about; others than the usual say so. */
const DEADLINE_MS = 20_000;
/** The gateway of the lab's segment, where the servers are too. */
const GATEWAY = "192.0.2.254";

/** Who held what, and what the hosts had told their plugins. */
export interface Standing {
  readonly leases: readonly HeldLease[];
  /** The text of the subnet file by the host's name. */
  readonly subnetFiles: ReadonlyMap<string, string>;
}

/** Looks at how all stands. */
export async function standingOf({ lab, leases }: RegistryOverlay): Promise<Standing> {
  const files = await Promise.all(
    lab.hosts.map(async (host) => [host.name, await Deno.readTextFile(host.subnetFilePath)] as const),
  );
  return { leases: await leases(), subnetFiles: new Map(files) };
}

/** Who has which subnets, at which addresses, one line a lease, sorted. */
export function whoIsWhere(leases: readonly HeldLease[]): string[] {
  return leases.map(({ subnets, addresses }) => `${subnets.join(" and ")} at ${addresses.join(" and ")}`)
    .sort();
}

/** The lease of the subnets of a host's pod. */
export function leaseOf(leases: readonly HeldLease[], host: LabHost): HeldLease {
  const file = host.share.subnets.map(({ address, length }) => `${formatAddress(address)}/${length}`);
  const found = leases.find(({ subnets }) => subnets.join() === file.join());
  if (found === undefined) {
    throw new Error(`Cannot find the lease of ${host.name} on ${file}: ${JSON.stringify(leases)}`);
  }
  return found;
}

/**
 * Waits until each host has one lease again, on the subnets of before, and all is whole: every host is ready and leaves
 * nobody out, the subnet files say what they said, and every pod reaches every other.
 *
 * @param moved Where hosts are by now in IPv4; the others are where they were.
 */
export async function untilAsBefore(
  overlay: RegistryOverlay,
  before: Standing,
  moved: ReadonlyMap<LabHost, string> = new Map(),
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  const { lab, libc } = overlay;
  const expected = new Map(before.leases.map((lease) => [lease.subnets.join(), lease]));
  for (const [host, address] of moved) {
    const lease = leaseOf(before.leases, host);
    const addresses = lease.addresses.map((old) => old.includes(":") ? old : address);
    expected.set(lease.subnets.join(), { ...lease, addresses });
  }
  const wanted = whoIsWhere([...expected.values()]);
  let found: readonly string[] = [];
  await within(`see ${wanted.join(", ")}`, deadlineMs, async () => {
    found = whoIsWhere(await overlay.leases());
    return found.join() === wanted.join();
  }, () => found.join(", "));
  for (const host of lab.hosts) await untilContent(overlay, host);
  await untilReachable(lab);
  for (const host of lab.hosts) await untilContent(overlay, host);
  assertEquals(whoIsWhere(await overlay.leases()), wanted);
  for (const host of lab.hosts) {
    const text = await Deno.readTextFile(host.subnetFilePath);
    assertEquals(text, before.subnetFiles.get(host.name), `the subnet file of ${host.name}`);
    assertEquals((await statusOf(libc, host))?.pass.faults, [], `who ${host.name} leaves out`);
  }
}

/** Waits until a host is ready and leaves nobody out. */
export async function untilContent(
  { libc }: RegistryOverlay,
  host: LabHost,
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  let answer = "nobody listens";
  await within(`see ${host.name} ready, with all peers`, deadlineMs, async () => {
    const response = await httpGet(libc, host.netns, "/readyz");
    const faults = (await statusOf(libc, host))?.pass.faults;
    answer = `${response?.body ?? "nobody listens"}; leaves out ${JSON.stringify(faults)}`;
    return response?.status === 200 && faults?.length === 0;
  }, () => answer);
}

/** Waits until a host is not ready because another contests what it claims, and names all of `others`. */
export async function untilContested(
  { libc, nodeName, lab }: RegistryOverlay,
  host: LabHost,
  others: readonly string[],
): Promise<void> {
  let answer = "nobody listens";
  const namesOf = (key: string) => lab.hosts.filter((each) => nodeName(each) === key).map(nodeName);
  await within(`see ${host.name} contested by ${others}`, DEADLINE_MS, async () => {
    const response = await httpGet(libc, host.netns, "/readyz");
    answer = response === undefined ? "nobody listens" : `${response.status} ${response.body}`;
    return response?.status === 503 && response.body.includes("contested") &&
      others.every((key) => [key, ...namesOf(key)].some((name) => response.body.includes(name)));
  }, () => answer);
}

/** Waits until what a host tells of its peers, in notes or as left out, names all of `others`. */
export async function untilNamed(
  { libc }: RegistryOverlay,
  host: LabHost,
  others: readonly string[],
): Promise<void> {
  let said = "";
  await within(`hear ${host.name} name ${others}`, DEADLINE_MS, async () => {
    const status = await statusOf(libc, host);
    said = JSON.stringify([status?.notes, status?.pass.faults]);
    return others.every((key) => said.includes(key));
  }, () => said);
}

/** Puts another IPv4 address in the place of one, as by hand: with the first address goes all of its segment. */
export async function changeAddress(host: LabHost, from: string, to: string): Promise<void> {
  await ip(host, "address", "replace", `${to}/24`, "dev", UPLINK);
  await ip(host, "address", "delete", `${from}/24`, "dev", UPLINK);
  await ip(host, "address", "replace", `${to}/24`, "dev", UPLINK);
  await ip(host, "route", "replace", "default", "via", GATEWAY, "dev", UPLINK);
}

/** Adds a link to a host, up, that leads nowhere. */
export async function addLink(host: LabHost, name: string): Promise<void> {
  const far = `${name}-far`;
  await ip(host, "link", "add", name, "type", "veth", "peer", "name", far);
  for (const end of [far, name]) await ip(host, "link", "set", end, "up");
}

/** Has all others forget where the hosts are on their segment, as an announcement of addresses does. */
export async function forgetNeighbours({ lab }: RegistryOverlay): Promise<void> {
  for (const host of lab.hosts) await ip(host, "neigh", "flush", "dev", UPLINK);
  await lab.underlay.mustExec("ip", "neigh", "flush", "dev", "switch");
}

/** Runs ip(8) on a host. */
export function ip(host: LabHost, ...args: readonly string[]): Promise<string> {
  return host.netns.mustExec("ip", ...args);
}

/** The VTEPs of a host by name, sorted. */
export async function vtepsOf(host: LabHost): Promise<string[]> {
  const text = await ip(host, "-o", "link", "show", "type", "vxlan");
  return [...text.matchAll(/^\d+: ([^:@]+)/gm)].map(([, name]) => name!).sort();
}

/** Pings on some ways in every family, while `during` happens; none may lose a packet. */
export async function underTraffic(
  ways: readonly (readonly [from: LabHost, to: LabHost])[],
  during: () => Promise<void>,
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const pings: RunningPing[] = [];
  for (const [from, to] of ways) {
    for (const family of from.families.keys()) {
      pings.push(stack.use(await RunningPing.start(from, to, family)));
    }
  }
  await during();
  for (const ping of pings) await ping.untilMore(20);
  await assertNoneLost(pings);
}

/** The first address of a host in IPv4, as text. */
export function addressOf(host: LabHost): string {
  return formatAddress(host.underlayAddresses.find((address) => familyOf(address) === AF_INET)!);
}

/** Waits until `isIt`. */
export async function within(
  action: string,
  deadlineMs: number,
  isIt: () => Promise<boolean>,
  state?: () => string,
): Promise<void> {
  const options = { deadlineMs, signal: new AbortController().signal };
  await waitUntil(action, async () => await isIt() || undefined, options, state);
}

/** How long changes of the registry are counted, and how many are no fight. */
const COUNT_MS = 3000;
const FEW_CHANGES = 10;

/** Counts the changes of the registry for a while. */
export async function assertFewChanges({ changes }: RegistryOverlay): Promise<void> {
  const first = await changes();
  const endsAtMs = performance.now() + COUNT_MS;
  let count = 0;
  await within("count changes", 2 * COUNT_MS, async () => {
    count = await changes() - first;
    return performance.now() >= endsAtMs || count >= FEW_CHANGES;
  });
  assert(count < FEW_CHANGES, `the registry was changed ${count} times within ${COUNT_MS} ms`);
}
