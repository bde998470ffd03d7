import { NetlinkError } from "../linux/errno.ts";
import type { Libc } from "../linux/libc.ts";
import { errorText } from "../log/error_text.ts";
import type { Log } from "../log/log.ts";
import { AF_INET, AF_INET6, type Family, FAMILY_NAMES, familyOf, formatAddress } from "../model/address.ts";
import type { ObservedLink } from "../model/state.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { dumpAddresses, encodeAddress } from "../rtnetlink/address.ts";
import { encodeLinkChange, type LinkChange } from "../rtnetlink/link.ts";
import type { EniPathWanted } from "./eni_path.ts";
import { linkSetting, sysctlName } from "./sysctl_checks.ts";
import { readSetting, writeSetting } from "./sysctl_files.ts";

/** What the link is seen to with. */
export interface EniLinkDeps {
  readonly client: NetlinkClient;
  readonly libc: Libc;
  readonly log: Log;
  /** Whether something that the link lacks is left so for now, as another program takes it away each time. */
  readonly isLeft: (what: string) => boolean;
}

/** How the link is, once it was seen to. What it lacks is a clause each, with a remedy. */
export interface EniLinkState {
  readonly isUp: boolean;
  /** What keeps packets of pods from it. */
  readonly blocking: readonly string[];
  /** What keeps some packets of pods from it. */
  readonly degrading: readonly string[];
}

/** `RT_SCOPE_UNIVERSE`. */
const EVERYWHERE = 0;
/** `rp_filter`: a packet must come in over the link that its source is reached by; loose is any link. */
const STRICT = 1;
const LOOSE = 2;

/** Something that a link lacks. */
interface Lack {
  readonly what: string;
  readonly remedy: string;
  /** Gives it. */
  readonly mend: () => void;
}

/**
 * Sees to the link of the network interface that packets for pods come in by. One that the agent has made is
 * configured; of another it is said what it lacks, since that may be so on purpose.
 */
export function settleEniLink(link: ObservedLink, wanted: EniPathWanted, deps: EniLinkDeps): EniLinkState {
  const left = (lacks: readonly (Lack | undefined)[]) =>
    lacks.flatMap((lack) => lack === undefined ? [] : mendOrSay(lack, link, wanted, deps) ?? []);
  const families = new Set(wanted.own.map(({ address }) => familyOf(address)));
  const down = left([
    link.isUp ? undefined : {
      what: "is down",
      remedy: `run "ip link set ${link.name} up"`,
      mend: () => change(link, { isUp: true }, deps),
    },
  ]);
  const settings = [
    families.has(AF_INET) ? forwarding(link, deps) : undefined,
    ...families.has(AF_INET6) ? ipv6(link, wanted, deps) : [],
  ];
  const blocking = [...down, ...left(settings)];
  return {
    isUp: down.length === 0,
    blocking,
    degrading: left([
      mtu(link, wanted, deps),
      ...[...families].map((family) => address(link, family, wanted, deps)),
      families.has(AF_INET) ? reversePath(link, deps) : undefined,
    ]),
  };
}

/** Gives a link what it lacks, if it is the agent's to configure; else, and if that fails, says so. */
function mendOrSay(
  { what, remedy, mend }: Lack,
  { name }: ObservedLink,
  { isManaged }: EniPathWanted,
  { isLeft, log }: EniLinkDeps,
): string | undefined {
  if (!isManaged || isLeft(what)) return `${what}; ${remedy}`;
  try {
    mend();
    log.write("info", "link of pods changed", { link: name, lacked: what });
    return undefined;
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return `${what} (${errorText(error)}); ${remedy}`;
  }
}

function change({ name, linkIndex }: ObservedLink, to: LinkChange, { client }: EniLinkDeps): void {
  client.request(
    `change ${name}`,
    (writer, sequence) => encodeLinkChange(writer, sequence, linkIndex, to),
  );
}

/** A sysctl that is not as it must be. */
function setting(what: string, path: string, value: number, { libc }: EniLinkDeps): Lack {
  return {
    what,
    remedy: `run \`sysctl -w ${sysctlName(path)}=${value}\` on the host`,
    mend: () => writeSetting(libc, path, value),
  };
}

function forwarding({ name }: ObservedLink, deps: EniLinkDeps): Lack | undefined {
  const path = linkSetting(AF_INET, name, "forwarding");
  if (readSetting(deps.libc, path) !== 0) return undefined;
  return setting(`gets no IPv4 packet to a pod, as ${sysctlName(path)} is 0`, path, 1, deps);
}

/** New links may have no IPv6; and where the router is, is known: what it advertises would lead the host over this link. */
function ipv6({ name }: ObservedLink, { isManaged }: EniPathWanted, deps: EniLinkDeps): (Lack | undefined)[] {
  const isOff = linkSetting(AF_INET6, name, "disable_ipv6");
  const isLed = linkSetting(AF_INET6, name, "accept_ra");
  const is = (path: string) => readSetting(deps.libc, path) ?? 0;
  return [
    is(isOff) === 0 ? undefined : setting("has IPv6 turned off", isOff, 0, deps),
    !isManaged || is(isLed) === 0 ? undefined : setting("listens to routers", isLed, 0, deps),
  ];
}

function mtu(link: ObservedLink, { mtuBytes }: EniPathWanted, deps: EniLinkDeps): Lack | undefined {
  if (link.mtuBytes >= mtuBytes) return undefined;
  return {
    what: `has an MTU of ${link.mtuBytes}, less than the ${mtuBytes} of pods`,
    remedy: `run "ip link set ${link.name} mtu ${mtuBytes}"`,
    mend: () => change(link, { mtuBytes }, deps),
  };
}

/** What is masqueraded on its way into the VPC gets the link's address, and the router is asked for by it. */
function address(
  { name, linkIndex }: ObservedLink,
  family: Family,
  { addresses, subnetPrefixes }: EniPathWanted,
  { client }: EniLinkDeps,
): Lack | undefined {
  const given = addresses.find((one) => familyOf(one) === family);
  const subnet = subnetPrefixes.find((one) => familyOf(one.address) === family);
  if (given === undefined || subnet === undefined) return undefined;
  const hasOne = dumpAddresses(client, linkIndex).some((one) =>
    one.family === family && one.scope === EVERYWHERE
  );
  if (hasOne) return undefined;
  const text = `${formatAddress(given)}/${subnet.length}`;
  // A route to the subnet would compete with that of the underlay's link, which may be in the same one.
  const value = { linkIndex, address: given, length: subnet.length, isWithoutRoute: true } as const;
  return {
    what: `has no address of ${FAMILY_NAMES[family]}`,
    remedy: `run "ip address add ${text} dev ${name} noprefixroute"`,
    mend: () =>
      client.request(
        `add address ${text} to ${name}`,
        (writer, sequence) => encodeAddress(writer, sequence, value),
      ),
  };
}

/** Hosts outside of the VPC are reached by another link: a strict kernel drops what comes from them. */
function reversePath({ name }: ObservedLink, deps: EniLinkDeps): Lack | undefined {
  const path = linkSetting(AF_INET, name, "rp_filter");
  const values = [path, linkSetting(AF_INET, "all", "rp_filter")].map((one) =>
    readSetting(deps.libc, one) ?? 0
  );
  if (Math.max(...values) !== STRICT) return undefined;
  const what = `drops packets of hosts outside of the VPC, as ${sysctlName(path)} is ${STRICT}`;
  return setting(what, path, LOOSE, deps);
}
