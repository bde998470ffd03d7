import { dhcpcdAdvice } from "../../host/unmanaged_files.ts";
import { isVtepName } from "../../model/vtep.ts";
import { type Check, check } from "./check.ts";
import { doubtful, ok, type Said } from "./finding.ts";
import type { DoctorPlace } from "./place.ts";

/** What manages this host's network beside the agent. */
export const MANAGER_CHECKS: readonly Check[] = [
  check("networkd", readNetworkd, judgeNetworkd),
  check("network-manager", readNetworkManager, judgeNetworkManager),
  check("dhcp-clients", readClients, judgeClients),
];

/** A link of the overlay, and whether the program that runs says that it manages it; `undefined` if it does not say. */
export interface ManagedLink {
  readonly name: string;
  readonly isManaged: boolean | undefined;
}

/** systemd-networkd on this host; `undefined` where it does not run. */
export interface FoundNetworkd {
  readonly links: readonly ManagedLink[];
  /** Whether it keeps routes and rules that others have made. */
  readonly keepsRoutes: boolean;
  /** Whether routes or rules of the overlay are on links that it manages. */
  readonly hasDirectRoutes: boolean;
}

async function overlayLinks(place: DoctorPlace) {
  const bridge = await place.podsBridge;
  return place.links.filter(({ name }) => isVtepName(name) || name === bridge);
}

async function readNetworkd(place: DoctorPlace): Promise<FoundNetworkd | undefined> {
  const running = place.system.processes(new Set(["systemd-network"])).some(({ isHere }) => isHere ?? true);
  if (await place.files.names("/run/systemd/netif/links") === undefined || !running) return undefined;
  const links = await Promise.all((await overlayLinks(place)).map(async ({ name, linkIndex }) => {
    const state = await place.files.file(`/run/systemd/netif/links/${linkIndex}`) ?? "";
    const [, admin] = /^ADMIN_STATE=(.*)$/m.exec(state) ?? [];
    return { name, isManaged: admin === undefined ? undefined : admin !== "unmanaged" };
  }));
  const { config: { backend } } = await place.config;
  return {
    links,
    keepsRoutes: /^\s*ManageForeignRoutes\s*=\s*(no|false|0|off)\s*$/mi.test(
      await networkdConfiguration(place),
    ),
    hasDirectRoutes: backend.type === "host-gw" || "directRouting" in backend && backend.directRouting,
  };
}

async function networkdConfiguration(place: DoctorPlace): Promise<string> {
  const texts: string[] = [];
  for (const root of ["/usr/lib/systemd", "/etc/systemd"]) {
    texts.push(await place.files.file(`${root}/networkd.conf`) ?? "");
    const folder = `${root}/networkd.conf.d`;
    for (const name of await place.files.names(folder) ?? []) {
      if (name.endsWith(".conf")) texts.push(await place.files.file(`${folder}/${name}`) ?? "");
    }
  }
  return texts.join("\n");
}

export function judgeNetworkd(found: FoundNetworkd | undefined): readonly Said[] {
  if (found === undefined) return [ok("systemd-networkd does not run")];
  const { links, keepsRoutes, hasDirectRoutes } = found;
  const managed = links.filter(({ isManaged }) => isManaged);
  const said: Said[] = [];
  if (managed.length > 0) {
    said.push(doubtful(
      `systemd-networkd manages ${list(managed)}: it may take addresses and routes of the overlay away`,
      "have the agent write its file (-unmanaged-files), and run `networkctl reload`",
    ));
  }
  if (hasDirectRoutes && !keepsRoutes) {
    said.push(doubtful(
      "systemd-networkd deletes routes that it does not know when it is started anew, until the agent puts them back",
      "write ManageForeignRoutes=no under [Network] in /etc/systemd/networkd.conf.d/loden.conf",
    ));
  }
  return said.length > 0 ? said : [ok("systemd-networkd leaves the overlay's links alone")];
}

/** NetworkManager on this host; `undefined` where it does not run. */
async function readNetworkManager(place: DoctorPlace): Promise<readonly ManagedLink[] | undefined> {
  if (await place.files.names("/run/NetworkManager/devices") === undefined) return undefined;
  return await Promise.all((await overlayLinks(place)).map(async ({ name, linkIndex }) => {
    const state = await place.files.file(`/run/NetworkManager/devices/${linkIndex}`) ?? "";
    const [, managed] = /^managed=(.*)$/m.exec(state) ?? [];
    return { name, isManaged: managed === undefined ? undefined : /^(true|1)$/.test(managed) };
  }));
}

export function judgeNetworkManager(links: readonly ManagedLink[] | undefined): Said {
  if (links === undefined) return ok("NetworkManager does not run");
  const managed = links.filter(({ isManaged }) => isManaged);
  return managed.length === 0 ? ok("NetworkManager leaves the overlay's links alone") : doubtful(
    `NetworkManager manages ${list(managed)}: it may take addresses and routes of the overlay away`,
    "have the agent write its file (-unmanaged-files), and run `systemctl reload NetworkManager`",
  );
}

function list(links: readonly ManagedLink[]): string {
  return links.map(({ name }) => name).join(" and ");
}

/** Programs that give links addresses. */
export interface FoundClients {
  /** What to add to dhcpcd's configuration; `undefined` for nothing. */
  readonly dhcpcd: string | undefined;
  /** ConnMan's configuration; `undefined` where it is not installed. */
  readonly connman: string | undefined;
  /** What cloud-init is told of the network, all files; empty where it is not installed. */
  readonly cloudInit: string;
}

async function readClients(place: DoctorPlace): Promise<FoundClients> {
  const runs = place.system.processes(new Set(["dhcpcd", "connmand"])).map(({ program }) => program);
  const cloud: string[] = [];
  for (const name of await place.files.names("/etc/cloud/cloud.cfg.d") ?? []) {
    cloud.push(await place.files.file(`/etc/cloud/cloud.cfg.d/${name}`) ?? "");
  }
  // It may hang, so another thread looks first.
  const hasDhcpcd = await place.files.file("/etc/dhcpcd.conf") !== undefined && runs.includes("dhcpcd");
  return {
    dhcpcd: hasDhcpcd ? dhcpcdAdvice(place.files.root) : undefined,
    connman: runs.includes("connmand") ? await place.files.file("/etc/connman/main.conf") ?? "" : undefined,
    cloudInit: cloud.join("\n"),
  };
}

export function judgeClients({ dhcpcd, connman, cloudInit }: FoundClients): readonly Said[] {
  const said: Said[] = [];
  if (dhcpcd !== undefined) {
    const [text, remedy] = dhcpcd.split("; ");
    said.push(doubtful(text!, remedy ?? "leave the overlay's links out"));
  }
  if (connman !== undefined && !/^\s*NetworkInterfaceBlacklist\s*=.*flannel/m.test(connman)) {
    said.push(doubtful(
      "ConnMan may give the overlay's links addresses",
      "add flannel,cni,veth to NetworkInterfaceBlacklist in /etc/connman/main.conf",
    ));
  }
  if (/^\s*when\s*:.*hotplug/m.test(cloudInit)) {
    said.push(doubtful(
      "cloud-init configures network interfaces that come while the host runs, and may take the overlay's for one",
      "leave hotplug out of updates.network.when in /etc/cloud/cloud.cfg.d",
    ));
  }
  return said.length > 0 ? said : [ok("no client of DHCP is known to touch the overlay's links")];
}
