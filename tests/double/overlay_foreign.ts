import { type LabHost } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { formatPrefix, type Prefix } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { registryName, statusOf, until } from "./overlay_rig.ts";
import { ip } from "./overlay_standing.ts";

export const DUAL = { EnableIPv6: true, IPv6Network: "fd00:10:244::/56" };

export const BACKENDS = ["vxlan", "host-gw"] as const;

/** What a host says of a peer that it leaves out. */
export async function reasonsFor(libc: Libc, host: LabHost, peer: LabHost): Promise<string[]> {
  const status = await statusOf(libc, host);
  return (status?.pass.faults ?? []).filter(({ host: name }) => name === registryName(peer))
    .map(({ reason }) => reason);
}

/** Waits until a host says of a peer, once a family, what `text` has. */
export async function untilNamed(libc: Libc, host: LabHost, peer: LabHost, text: string): Promise<void> {
  let said: readonly string[] = [];
  await until(`see ${host.name} name the route to ${peer.name}`, async () => {
    said = await reasonsFor(libc, host, peer);
    return said.length === host.families.length && said.every((reason) => reason.includes(text)) || undefined;
  }, () => JSON.stringify(said));
}

export async function untilNobodyIsLeftOut(libc: Libc, lab: Lab): Promise<void> {
  for (const host of lab.hosts) {
    let said: unknown;
    await until(`see ${host.name} leave nobody out`, async () => {
      said = (await statusOf(libc, host))?.pass.faults;
      return Array.isArray(said) && said.length === 0 || undefined;
    }, () => JSON.stringify(said));
  }
}

export async function untilNamedOnce(libc: Libc, host: LabHost, peer: LabHost, text: string): Promise<void> {
  let said: readonly string[] = [];
  await until(`see ${host.name} name the route to ${peer.name}`, async () => {
    said = await reasonsFor(libc, host, peer);
    return said.some((reason) => reason.includes(text)) || undefined;
  }, () => JSON.stringify(said));
}

/** The routes of a host to a subnet, as iproute2 prints them, in one line each with what belongs to it. */
export async function routesTo(host: LabHost, subnet: Prefix): Promise<string[]> {
  const text = await ip(host, versionOf(subnet), "-oneline", "route", "show", formatPrefix(subnet));
  return text.split("\n").map((line) => line.replaceAll(/[\s\\]+/g, " ").trim()).filter((line) =>
    line !== ""
  );
}

/** The arguments of ip(8) for one of a host's subnets. */
function versionOf({ address }: { readonly address: unknown }): "-4" | "-6" {
  return typeof address === "number" ? "-4" : "-6";
}

/** The two halves of a subnet. */
export function halvesOf({ address, length }: Prefix): [string, string] {
  const second = typeof address === "number"
    ? (address | 1 << (31 - length)) >>> 0
    : address | 1n << BigInt(127 - length);
  return [{ address, length: length + 1 }, { address: second, length: length + 1 } as Prefix]
    .map((half) => formatPrefix(half as Prefix)) as [string, string];
}
