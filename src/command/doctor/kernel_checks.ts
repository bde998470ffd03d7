import { AF_INET6 } from "../../model/address.ts";
import { EINVAL, EPERM, errnoName, NetlinkError } from "../../linux/errno.ts";
import type { NetlinkClient } from "../../netlink/client.ts";
import { NLM_F_CREATE, NLM_F_EXCL } from "../../netlink/message.ts";
import { formatKernelVersion, type KernelVersion, runningKernel } from "../../host/kernel_version.ts";
import { hasVxlan, nftablesFault, routerLedLink } from "../../host/kernel_features.ts";
import { type HostNeeds, type SysctlCheck, sysctlChecks, sysctlName } from "../../host/sysctl_checks.ts";
import { usesSegment } from "../../overlay/backend/backend.ts";
import { vtepNames } from "../../overlay/backend/vxlan.ts";
import {
  encodeLinkHeader,
  IFLA_ADDRESS,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  RTM_NEWLINK,
} from "../../rtnetlink/link_header.ts";
import { type Check, check } from "./check.ts";
import { doubtful, ok, type Said, wrong } from "./finding.ts";
import type { DoctorPlace } from "./place.ts";

/** The oldest kernel that is tested: older ones miss what the agent asks for. */
const OLDEST: KernelVersion = [4, 19, 0];
/** What the plugin `bridge` makes. */
const POD_KINDS = ["bridge", "veth"];

/** What the kernel is, and whether it has what pods and the overlay are made of. */
export const KERNEL_CHECKS: readonly Check[] = [
  check("kernel", (place) => runningKernel((path) => place.libc.readSysctl(path)), judgeKernel),
  check("vxlan", async (place) => {
    const { config: { backend } } = await place.config;
    if (!("vni" in backend)) return "unused";
    if (place.links.some(({ kind }) => kind === "vxlan")) return true;
    place.requireRoot();
    return hasVxlan(place.client);
  }, judgeVxlan),
  check("bridge", (place) => {
    if (POD_KINDS.every((kind) => place.links.some((link) => link.kind === kind))) return [];
    place.requireRoot();
    return POD_KINDS.filter((kind) => !hasLinkKind(place.client, kind));
  }, (missing) =>
    missing.length === 0 ? ok("the kernel makes bridges and veth links") : wrong(
      `the kernel makes no links of the kind ${missing.join(" and ")}, which pods are attached by`,
      `load the modules ${missing.join(" ")} on the host`,
    )),
  check("nf_tables", (place) => {
    if (!place.options.masquerade && !place.options.forwardRules) return "unused";
    place.requireRoot();
    return nftablesFault(place.libc) ?? "there";
  }, judgeNftables),
  check("sysctls", readSettings, (found) => {
    const said = withoutEffects(found).flatMap(judgeSetting);
    return said.length > 0 ? said : ok(
      found.length === 0
        ? "the backend asks for none"
        : `${found.length} settings of the kernel are as they must be`,
    );
  }),
];

export function judgeKernel(version: KernelVersion | undefined): Said {
  if (version === undefined) return doubtful("the kernel's version can't be read", "look at /proc/version");
  const text = `Linux ${formatKernelVersion(version)}`;
  const isOld = version[0] < OLDEST[0] || version[0] === OLDEST[0] && version[1] < OLDEST[1];
  return isOld
    ? doubtful(
      `${text} is older than ${OLDEST[0]}.${OLDEST[1]}, the oldest that is known to do`,
      "take a newer kernel",
    )
    : ok(text);
}

function judgeVxlan(state: "unused" | boolean): Said {
  if (state === "unused") return ok("the backend needs none");
  return state
    ? ok("the kernel makes VXLAN links")
    : wrong("the kernel has no VXLAN", 'load the module vxlan on the host, or choose the backend "host-gw"');
}

function judgeNftables(state: string): Said {
  if (state === "unused") return ok("no rules are asked for");
  return state === "there" ? ok("the kernel makes rules of nftables") : wrong(
    `the kernel answers ${state} to nftables, so there are no rules for pods`,
    "load the module nf_tables on the host",
  );
}

/**
 * Reports whether the kernel can make links of a kind, and has it load the module if there is one. Nothing is made: the
 * request has an address that is too short, which only a kernel that knows the kind finds out.
 */
export function hasLinkKind(client: NetlinkClient, kind: string): boolean {
  try {
    client.request(`ask for ${kind}`, (writer, sequence) => {
      writer.begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sequence);
      encodeLinkHeader(writer, 0);
      writer.attributeBytes(IFLA_ADDRESS, new Uint8Array(5));
      writer.nested(IFLA_LINKINFO, () => writer.attributeText(IFLA_INFO_KIND, kind));
      writer.end();
    });
    return true;
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return error.errno === EINVAL || error.errno === EPERM;
  }
}

/** What is so only since forwarding is off for all links is not told of each. */
function withoutEffects(found: readonly FoundSetting[]): readonly FoundSetting[] {
  const isOff = ({ check: { path, isGood }, value }: FoundSetting) =>
    path === "net/ipv4/ip_forward" && typeof value === "number" && !isGood(value);
  if (!found.some(isOff)) return found;
  return found.filter(({ check: { path } }) => !/^net\/ipv4\/conf\/.*\/forwarding$/.test(path));
}

/** A setting as it is. */
export interface FoundSetting {
  readonly check: SysctlCheck;
  /** `undefined` where there is none; an errno's name where it can't be read. */
  readonly value: number | string | undefined;
  /** Whether an agent runs that would have set it. */
  readonly isKept: boolean;
}

async function readSettings(place: DoctorPlace): Promise<readonly FoundSetting[]> {
  // Another program connects the hosts, and settings are its.
  if ((await place.backend).carriage === "none") return [];
  const needs = await needsOf(place);
  const led = needs.families.includes(AF_INET6) ? routerLedLink(place.client) : undefined;
  const isKept = await place.hasAgent;
  return sysctlChecks(needs, led === undefined ? [] : [led]).map((check) => ({
    check,
    value: valueOf(place, check),
    isKept,
  }));
}

function valueOf(place: DoctorPlace, { path, orGreater }: SysctlCheck): number | string | undefined {
  const read = (path: string) => {
    const text = place.kernelFile(`/proc/sys/${path}`);
    return text === undefined ? undefined : Number(text);
  };
  try {
    const own = read(path);
    const other = orGreater === undefined ? undefined : read(orGreater);
    return own === undefined ? undefined : Math.max(own, other ?? own);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return errnoName(error.errno);
  }
}

export function judgeSetting({ check, value, isKept }: FoundSetting): readonly Said[] {
  const { path, isGood, wanted, isOurs, otherwise, absent } = check;
  const name = sysctlName(path);
  const command = `run \`sysctl -w ${name}=${wanted}\` on the host`;
  if (value === undefined) {
    // The link is not there, or it means nothing.
    if (absent === undefined) return [];
    return [
      doubtful(`${absent}, so ${otherwise}`, isBridgeSetting(path) ? "run `modprobe br_netfilter`" : command),
    ];
  }
  if (typeof value === "string") return [doubtful(`${name} can't be read: ${value}`, "run this as root")];
  if (isGood(value)) return [];
  const text = `${name} is ${value}, so ${otherwise}`;
  // What is ours the agent sets when it starts.
  if (isOurs && !isKept) return [doubtful(text, `the agent sets it when it runs; or ${command}`)];
  return [isOurs || isDeadly(path) ? wrong(text, command) : doubtful(text, command)];
}

function isBridgeSetting(path: string): boolean {
  return path.startsWith("net/bridge/");
}

/** What stops packets for certain, and not only some of them. */
function isDeadly(path: string): boolean {
  return path.endsWith("/forwarding");
}

async function needsOf(place: DoctorPlace): Promise<HostNeeds> {
  const { config: { families, backend } } = await place.config;
  const { options, links } = place;
  const { carriage } = await place.backend;
  const underlay = await place.underlay;
  const there = (name: string) => links.some((link) => link.name === name);
  const ownLinks = "vni" in backend ? vtepNames(backend.vni).filter(there) : [];
  const bridge = await place.podsBridge;
  return {
    families: families.map(({ family }) => family),
    presentFamilies: underlay.addresses.map(({ family }) => family),
    ownLinks,
    ownIpv6Links: ownLinks.filter((name) => name.startsWith("flannel-v6")),
    podsBridge: bridge !== undefined && there(bridge) ? bridge : undefined,
    underlayLink: underlay.linkName,
    hasDirectRoutes: usesSegment(carriage) || carriage === "router",
    vxlan: "vni" in backend ? "needed" : "unused",
    hasRules: options.masquerade || options.forwardRules,
    hasServices: options.registry.kind === "kube",
  };
}
