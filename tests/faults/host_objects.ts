import type { LabHost } from "../../src/lab/host.ts";
import { ENOENT, isErrno } from "../../src/linux/errno.ts";
import type { PlannedChange } from "../../src/model/host_plan.ts";

// What a host holds, as ip(8), bridge(8), nft(8) and files say it, and not as this program reads it: each object by the name
// that a plan has for it.

/** Objects by name, with their values. */
export type HostObjects = ReadonlyMap<string, string>;

/** A JSON object of iproute2. */
type Entry = Readonly<Record<string, unknown>>;

/** All that a plan may speak of; what the kernel makes by itself is left out. */
export async function hostObjects(host: LabHost): Promise<HostObjects> {
  const objects = new Map<string, string>();
  const links = await json(host, "ip", "-d", "link", "show");
  for (const link of links) addLink(link, objects);
  const names = links.map(({ ifname }) => String(ifname));
  for (const { ifname, addr_info } of await json(host, "ip", "address", "show")) {
    for (const { scope, local, prefixlen } of addr_info as Entry[]) {
      if (scope !== "link") objects.set(`address ${local}/${prefixlen} dev ${ifname}`, "");
    }
  }
  for (const family of ["-4", "-6"]) {
    for (const route of await json(host, "ip", family, "route", "show", "table", "main")) {
      addRoute(route, family === "-4" ? 32 : 128, objects);
    }
    for (const rule of await json(host, "ip", family, "rule", "show")) {
      objects.set(`rule ${JSON.stringify(rule)}`, "");
    }
    for (const one of await json(host, "ip", family, "neighbour", "show", "nud", "permanent")) {
      objects.set(`neighbour ${one.dst} dev ${one.dev}`, `lladdr ${one.lladdr} nud permanent`);
    }
  }
  for (const { mac, ifname, dst } of await json(host, "bridge", "fdb", "show")) {
    if (dst !== undefined) objects.set(`fdb ${mac} dev ${ifname}`, `dst ${dst}`);
  }
  addSettings(host, names, objects);
  addRules(await host.netns.mustExec("nft", "-s", "list", "ruleset"), objects);
  for (const path of [host.subnetFilePath]) {
    try {
      objects.set(`file ${path}`, await Deno.readTextFile(path));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return objects;
}

async function json(host: LabHost, program: string, ...args: string[]): Promise<Entry[]> {
  const text = await host.netns.mustExec(program, "-j", ...args);
  // Some print empty objects where a filter took something out.
  return (JSON.parse(text || "[]") as Entry[]).filter((entry) => Object.keys(entry).length > 0);
}

function addLink(link: Entry, objects: Map<string, string>): void {
  const { ifname: name, mtu, address, flags, master, linkinfo } = link;
  const { info_kind: kind, info_data } = (linkinfo ?? {}) as Entry;
  const state = (flags as string[]).includes("UP") ? "up" : "down";
  objects.set(`link ${name} mtu`, String(mtu));
  objects.set(`link ${name} state`, state);
  objects.set(`link ${name} master`, String(master ?? "none"));
  objects.set(`link ${name} address`, String(address));
  if (kind !== "vxlan") return void objects.set(`link ${name}`, "");
  const { id, local, local6, link: device, port, learning } = info_data as Entry;
  const dev = String(device ?? "none");
  objects.set(`link ${name} local`, String(local ?? local6 ?? "none"));
  objects.set(`link ${name} dev`, dev);
  objects.set(`link ${name} learning`, learning ? "on" : "off");
  objects.set(
    `link ${name}`,
    `type vxlan id ${id} local ${local ?? local6} dev ${dev} dstport ${port} ` +
      `${learning ? "learning" : "nolearning"} mtu ${mtu} address ${address} ${state}`,
  );
}

function addRoute(route: Entry, bits: number, objects: Map<string, string>): void {
  const { type, dst, gateway, dev, protocol, metric, flags, metrics } = route;
  if (protocol === "kernel" || protocol === "ra") return;
  const to = dst === "default" ? "default" : String(dst).includes("/") ? dst : `${dst}/${bits}`;
  const [{ mtu } = { mtu: undefined }] = (metrics ?? []) as Entry[];
  const isBlackhole = type === "blackhole";
  const words = [
    ...isBlackhole ? ["blackhole"] : [],
    ...gateway === undefined ? [] : [`via ${gateway}`],
    ...dev === undefined || isBlackhole ? [] : [`dev ${dev}`],
    ...(flags as string[] | undefined)?.includes("onlink") ? ["onlink"] : [],
    `proto ${protocol}`,
    ...mtu === undefined ? [] : [`mtu ${mtu}`],
  ];
  objects.set(`route ${to} metric ${metric ?? 0}`, words.join(" "));
}

/** Of forwarding only what sets all links is told: the kernel sets theirs by it. */
function addSettings(host: LabHost, links: readonly string[], objects: Map<string, string>): void {
  const ofLinks = [...links, "default"].filter((name) => name !== "lo").flatMap((name) => [
    `net/ipv4/conf/${name}/rp_filter`,
    `net/ipv6/conf/${name}/accept_ra`,
    `net/ipv6/conf/${name}/disable_ipv6`,
  ]);
  for (const path of ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", ...ofLinks]) {
    try {
      const name = path.replace(/[./]/g, (sign) => sign === "/" ? "." : "/");
      objects.set(`setting ${name}`, host.netns.readSysctl(path));
    } catch (error) {
      if (!isErrno(error, ENOENT)) throw error;
    }
  }
}

/** The rules of nft(8), without counters and what iptables-nft says in comments of its own. */
function addRules(text: string, objects: Map<string, string>): void {
  let [table, chain] = ["", ""];
  for (const line of text.split("\n").map((one) => one.trim())) {
    const [, tableName] = /^table (.*) \{$/.exec(line) ?? [];
    const [, chainName] = /^chain (.*) \{$/.exec(line) ?? [];
    if (tableName !== undefined) {
      table = tableName;
      objects.set(`table ${table}`, "");
    } else if (chainName !== undefined) {
      chain = chainName;
      objects.set(`chain ${table} ${chain}`, "");
    } else if (line !== "" && line !== "}" && !line.startsWith("type ")) {
      objects.set(`rule ${table} ${chain} ${plainRule(line)}`, "");
    }
  }
}

/** A rule without what says nothing: counters, and comments of iptables. */
function plainRule(text: string): string {
  return text.replaceAll(
    /\s*(?:\/\*.*?\*\/|xt match "?comment"?|\bcounter\b(?: packets \d+ bytes \d+)?)/g,
    "",
  ).trim();
}

/** What is different between two moments, in the form of a plan; a link that came or went has its values in itself. */
export function differences(before: HostObjects, after: HostObjects): string[] {
  const names = [...new Set([...before.keys(), ...after.keys()])];
  const comes = (name: string) => !before.has(name) && after.has(name);
  const goes = (name: string) => before.has(name) && !after.has(name);
  const isOfOther = (name: string) => {
    const [, link] = /^link (\S+) \S+$/.exec(name) ?? [];
    return link !== undefined && (comes(`link ${link}`) || goes(`link ${link}`));
  };
  // A link that stays is told of by its attributes.
  const isOfSame = (name: string) => /^link \S+$/.test(name) && before.has(name) && after.has(name);
  return names.filter((name) =>
    before.get(name) !== after.get(name) && !isOfOther(name) && !isOfSame(name) && !isOfNewLink(name, before)
  ).map((name) => differenceText(name, before.get(name), after.get(name))).sort();
}

/** What a plan says in the same form. */
export function plannedDifferences(changes: readonly PlannedChange[], before: HostObjects): string[] {
  return changes.map(({ kind, object, was, becomes }) => {
    const name = kind === "packet filter" ? plainRule(object) : object;
    const isGone = becomes === undefined;
    const isNew = was === undefined;
    const value = kind === "file" ? "" : becomes ?? "";
    return { name, text: isGone ? `- ${name}` : `${isNew ? "+" : "~"} ${name} ${value}`.trim() };
  }).filter(({ name }) => !isOfNewLink(name, before)).map(({ text }) => text).sort();
}

/** A setting of a link that is not there yet: `newLinkSettings()` has it. */
function isOfNewLink(name: string, before: HostObjects): boolean {
  const [, link] = /^setting net\.ipv[46]\.conf\.([^.]+)\.\w+$/.exec(name) ?? [];
  return link !== undefined && link !== "all" && !before.has(`link ${link.replaceAll("/", ".")}`);
}

function differenceText(name: string, was: string | undefined, is: string | undefined): string {
  if (is === undefined) return `- ${name}`;
  const value = name.startsWith("file ") ? "" : is;
  return `${was === undefined ? "+" : "~"} ${name} ${value}`.trim();
}

/** The settings of links that came, each as it is and as a plan says: by itself, or what new links get. */
export function newLinkSettings(
  changes: readonly PlannedChange[],
  before: HostObjects,
  after: HostObjects,
): { readonly are: string[]; readonly planned: string[] } {
  const names = [...after.keys()].filter((name) => isOfNewLink(name, before));
  return {
    are: names.map((name) => `${name} ${after.get(name)}`),
    planned: names.map((name) => {
      const change = changes.find(({ object }) => object === name);
      const initial = name.replace(/(conf\.)[^.]+(\.\w+)$/, "$1default$2");
      return `${name} ${change?.becomes ?? after.get(initial)}`;
    }),
  };
}
