import { AF_INET, AF_INET6, type Family } from "../model/address.ts";

/** What the configuration asks of the host's kernel. */
export interface HostNeeds {
  /** The families in use. */
  readonly families: readonly Family[];
  /** Those of them that this host has in the underlay; all if absent. */
  readonly presentFamilies?: readonly Family[];
  /** The links of ours that are there, by name. */
  readonly ownLinks: readonly string[];
  /** Those of them that are there for IPv6. */
  readonly ownIpv6Links?: readonly string[];
  /** The bridge that pods are on, which the plugin makes for us, by name; absent where there is none. */
  readonly podsBridge?: string | undefined;
  /** The link that carries the overlay, by name. */
  readonly underlayLink: string;
  /** Whether packets of pods cross the underlay's link as they are: host-gw, DirectRouting, auto. */
  readonly hasDirectRoutes: boolean;
  /** Whether there is no overlay without VXLAN, or only some hosts can't be reached. */
  readonly vxlan: "needed" | "useful" | "unused";
  /** Whether there are rules to make: masquerade or forward. */
  readonly hasRules: boolean;
  /** Whether pods reach each other through Kubernetes' Services. */
  readonly hasServices: boolean;
}

/** One sysctl that the overlay depends on, as data. */
export interface SysctlCheck {
  /** Below /proc/sys. */
  readonly path: string;
  /** The greater of this one and `path` is what counts: `rp_filter` works so (ip-sysctl of the kernel). */
  readonly orGreater?: string;
  readonly isGood: (value: number) => boolean;
  /** What is good. */
  readonly wanted: number;
  /** Whether it may be set here; else a person is told. */
  readonly isOurs: boolean;
  /** Whether a person can have it set at boot; not on a link that the agent makes. */
  readonly isLasting: boolean;
  /** What happens while it is not good, a clause. */
  readonly otherwise: string;
  /** What its absence means, a clause; where absent that means nothing. */
  readonly absent?: string;
  /** Paths of checks before this one that must be good first; else it is not set. */
  readonly after?: readonly string[];
  /** What setting it would do while those are not good, a clause. */
  readonly tooEarly?: string;
}

/** Whether IPv6 packets are forwarded at all, and whether a host listens to routers. */
export const IPV6_FORWARDING = "net/ipv6/conf/all/forwarding";

/** The sysctl of one link in one family. */
export function linkSetting(family: Family, link: string, name: string): string {
  return `net/${family === AF_INET ? "ipv4" : "ipv6"}/conf/${link}/${name}`;
}

/** `rp_filter`: a packet must come in over the link that its source is reached by. 2 is any link. */
const STRICT = 1;
/** `accept_ra`: listen to routers unless forwarding is on. 2 is also then. */
const UNLESS_FORWARDING = 1;

const isOne = (value: number) => value === 1;

/**
 * The sysctls that count for `needs`, in the order in which they must be set.
 *
 * Ours to set is what is on links of ours and on the pods' bridge, and that the host forwards at all, as flannel's users
 * expect. Another link or bridge may differ because a person decided so: that is told and left alone.
 *
 * @param routerLedLinks The links over which routers may lead this host: one that forwards listens to them only where it
 * is told to.
 */
export function sysctlChecks(needs: HostNeeds, routerLedLinks: readonly string[]): SysctlCheck[] {
  const { families, underlayLink, ownLinks, hasDirectRoutes, hasServices } = needs;
  const podsBridge = needs.podsBridge === underlayLink ? undefined : needs.podsBridge;
  const bridges = podsBridge === undefined ? [] : [podsBridge];
  const checks: SysctlCheck[] = [];
  if (families.includes(AF_INET)) {
    // Before the links' own: this one sets them all. It is the same as net.ipv4.conf.all.forwarding.
    checks.push({
      path: "net/ipv4/ip_forward",
      isGood: isOne,
      wanted: 1,
      isOurs: true,
      isLasting: true,
      otherwise: "no IPv4 packet gets into or out of a pod",
    });
    for (const link of [...ownLinks, underlayLink]) {
      const isOurs = link !== underlayLink;
      checks.push({
        path: `net/ipv4/conf/${link}/forwarding`,
        isGood: isOne,
        wanted: 1,
        isOurs,
        isLasting: !isOurs,
        otherwise: `IPv4 packets that come in over ${link} get to no pod`,
      });
      if (!isOurs && !hasDirectRoutes) continue;
      checks.push({
        path: `net/ipv4/conf/${link}/rp_filter`,
        orGreater: "net/ipv4/conf/all/rp_filter",
        isGood: (value) => value !== STRICT,
        wanted: 2,
        isOurs,
        isLasting: !isOurs,
        otherwise:
          `packets of pods and hosts that come in over ${link}, but are answered over another link, ` +
          "are dropped without a word",
      });
    }
    checks.push(...bridges.map((link) => bridgeForwards(AF_INET, link)));
    if (hasServices) checks.push(bridgeCheck("iptables", "IPv4"));
  }
  if (families.includes(AF_INET6)) {
    checks.push(...ipv6IsOn(needs, bridges));
    const led = routerLedLinks.filter((link) => ![...ownLinks, ...bridges].includes(link));
    const listening = led.map((link): SysctlCheck => ({
      path: linkSetting(AF_INET6, link, "accept_ra"),
      isGood: (value) => value !== UNLESS_FORWARDING,
      wanted: 2,
      isOurs: true,
      isLasting: true,
      otherwise:
        `this host loses the IPv6 addresses and routes that routers give it over ${link} when it forwards`,
    }));
    checks.push(...listening, {
      path: IPV6_FORWARDING,
      after: listening.map(({ path }) => path),
      tooEarly: "this host would listen to no router any more",
      isGood: isOne,
      wanted: 1,
      isOurs: true,
      isLasting: true,
      otherwise: "no IPv6 packet gets into or out of a pod",
      absent: "this kernel has no IPv6",
    });
    checks.push(...bridges.map((link) => bridgeForwards(AF_INET6, link)));
    if (hasServices) checks.push(bridgeCheck("ip6tables", "IPv6"));
  }
  for (const link of [...ownLinks, ...bridges]) {
    checks.push({
      path: `net/ipv6/conf/${link}/accept_ra`,
      isGood: (value) => value === 0,
      wanted: 0,
      isOurs: true,
      isLasting: false,
      otherwise: "a pod can change this host's IPv6 routes by a router advertisement",
    });
  }
  return checks;
}

/** For IPv6 it says that the host is a router there, which listens to nobody. */
function bridgeForwards(family: Family, link: string): SysctlCheck {
  return {
    path: linkSetting(family, link, "forwarding"),
    isGood: isOne,
    wanted: 1,
    isOurs: true,
    isLasting: false,
    otherwise: family === AF_INET
      ? `no IPv4 packet of a pod gets any further than ${link}`
      : `a pod can lead this host over ${link}`,
  };
}

/** Whether links may have IPv6 at all: ours and the pods' must, where the underlay has; that of others is others'. */
function ipv6IsOn(
  { underlayLink, families, presentFamilies = families, ownIpv6Links = [] }: HostNeeds,
  bridges: readonly string[],
): SysctlCheck[] {
  const isOn = (link: string) => ({
    path: linkSetting(AF_INET6, link, "disable_ipv6"),
    isGood: (value: number) => value === 0,
    wanted: 0,
  });
  if (presentFamilies.includes(AF_INET6)) {
    return [...ownIpv6Links, ...bridges].map((link) => ({
      ...isOn(link),
      isOurs: true,
      isLasting: false,
      otherwise: `${link} has no IPv6, and pods don't reach each other by it`,
    }));
  }
  if (!families.includes(AF_INET)) return [];
  const otherwise = `${underlayLink} has no IPv6 and this host takes part with IPv4 alone`;
  return [{ ...isOn(underlayLink), isOurs: false, isLasting: true, otherwise }];
}

/** Not ours to set: virtual machines on other bridges would be filtered too. */
function bridgeCheck(program: "iptables" | "ip6tables", family: string): SysctlCheck {
  return {
    path: `net/bridge/bridge-nf-call-${program}`,
    isGood: isOne,
    wanted: 1,
    isOurs: false,
    isLasting: true,
    otherwise: `a pod that calls an ${family} Service whose pod is on this host too may get no answer`,
    absent: "the module br_netfilter is not loaded",
  };
}

/** The name that sysctl(8) has for a path: a dot stands for a slash, and a slash for a dot in a link's name. */
export function sysctlName(path: string): string {
  return path.replace(/[./]/g, (sign) => sign === "/" ? "." : "/");
}
