import { legacyTablesWithRules } from "../../linux/legacy_tables.ts";
import type { Libc } from "../../linux/libc.ts";
import { errorText } from "../../log/error_text.ts";
import {
  type Address,
  AF_INET,
  AF_INET6,
  type Family,
  familyOf,
  maskAddress,
  type Prefix,
  prefixContains,
} from "../../model/address.ts";
import type { ObservedAddress, ObservedLink } from "../../model/state.ts";
import { isOurVtep } from "../../model/vtep.ts";
import { NetlinkClient } from "../../netlink/client.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../../netlink/socket.ts";
import { mayMarkCarried } from "../../firewall/outer_marks.ts";
import { readRuleBook, type RuleBook } from "../../nftables/rule_book.ts";
import type { SubnetEnv } from "../../pods/subnet_env.ts";
import { dumpAddresses } from "../../rtnetlink/address.ts";
import { dumpLinks } from "../../rtnetlink/link.ts";
import { dumpFdbEntries } from "../../rtnetlink/neighbour_entry.ts";
import {
  type AddressKind,
  type ChainFacts,
  FROM_PORT,
  PROBE_PORT,
  type RegistryWord,
  type Tunnel,
  type Way,
} from "./facts.ts";
import { packetsOf, readFilters, walkHooks, withoutOutput } from "./filter_facts.ts";
import { readFrameFilters } from "./frame_filters.ts";
import type { PodNetns } from "./link_facts.ts";
import { findPod, podWay } from "./pod_netns.ts";
import { readPort } from "./pod_port.ts";
import { hostLinks, linksOnWay, readTraffic } from "./traffic_facts.ts";
import { isServiceAddress } from "./service.ts";
import { WayReader } from "./way_reader.ts";

/** What VXLAN adds, by the family of the outer packets. */
const OVERHEAD_BYTES: Readonly<Record<Family, number>> = { [AF_INET]: 50, [AF_INET6]: 70 };

/** What is asked. */
export interface Question {
  readonly target: Address;
  /** Where the packet comes from; chosen if absent. */
  readonly from: Address | undefined;
  readonly subnetFilePath: string;
  readonly env: SubnetEnv | undefined;
  readonly registry: RegistryWord;
}

/**
 * Looks at each link of the chain to an address, in this thread's network namespace. Changes nothing.
 *
 * @throws {NetlinkError} If the kernel does not answer.
 */
export function readFacts(libc: Libc, question: Question): ChainFacts {
  using transport = NetlinkSocket.open(libc);
  using rules = NetlinkSocket.open(libc, { protocol: NETLINK_NETFILTER });
  return new Reader(libc, new NetlinkClient(transport), new NetlinkClient(rules), question).read();
}

class Reader {
  readonly #links: readonly ObservedLink[];
  readonly #addresses: readonly ObservedAddress[];
  readonly #ways: WayReader;
  readonly #family: Family;

  constructor(
    readonly libc: Libc,
    readonly client: NetlinkClient,
    readonly ruleClient: NetlinkClient,
    readonly question: Question,
  ) {
    this.#family = familyOf(question.target);
    this.#links = dumpLinks(client);
    this.#addresses = dumpAddresses(client, 0);
    this.#ways = new WayReader(libc, client, this.#links);
  }

  read(): ChainFacts {
    const { target, from, env, registry, subnetFilePath } = this.question;
    const ofFamily = (prefix: Prefix) => familyOf(prefix.address) === this.#family;
    const ownSubnet = env?.subnets.find(ofFamily);
    const { book, filterFault } = this.#readBook();
    const kind = this.#kindOf(ownSubnet, book);
    const bridge = this.#bridgeOf(ownSubnet);
    const isFromPod = from === undefined
      ? bridge !== undefined && kind !== "own-address" && kind !== "own-pod"
      : ownSubnet !== undefined && prefixContains(ownSubnet, from) && !this.#isOwn(from);
    // What is read is about a pod that there is.
    const pod = isFromPod ? findPod(this.libc, this.client, { bridge, ownSubnet }, from) : undefined;
    const source = from ?? pod?.address ?? (isFromPod ? someOf(ownSubnet!) : undefined);
    const way = this.#ways.way({
      destination: target,
      udpPort: PROBE_PORT,
      udpSourcePort: FROM_PORT,
      ...source !== undefined && { source },
      ...isFromPod && bridge !== undefined && { inputLinkIndex: bridge.link.linkIndex },
    });
    const shown = source ?? this.#sourceOf(way, target);
    const tunnel = this.#tunnelOf(way, book);
    const back = isFromPod && way.link !== undefined
      ? this.#ways.way({
        destination: source!,
        source: target,
        udpPort: FROM_PORT,
        udpSourcePort: PROBE_PORT,
        inputLinkIndex: way.link.linkIndex,
      })
      : undefined;
    const portOf = (address: Address | undefined, pod?: PodNetns) =>
      address === undefined || bridge === undefined ? undefined : readPort({
        libc: this.libc,
        client: this.client,
        links: this.#links,
        bridge,
        ownSubnet,
        address,
        pod,
      });
    const sourcePort = isFromPod ? portOf(source, pod) : undefined;
    const targetPort = kind === "own-pod" ? portOf(target) : undefined;
    const wayLinks = linksOnWay({ sourcePort, targetPort, bridge, isFromPod, way, tunnel });
    const vteps = this.#vteps();
    return {
      target,
      family: this.#family,
      kind,
      source: shown,
      isFromPod,
      isFromOwn: !isFromPod && (from === undefined || this.#isOwn(from)),
      subnetFilePath,
      env,
      ownSubnet,
      registry,
      ownLink: this.#ways.linkOf(this.#addresses.find(({ address }) => address === target)?.linkIndex),
      bridge,
      hostLinks: hostLinks(this.#addresses, env, tunnel),
      isForwarding: this.#flag(
        this.#family === AF_INET ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding",
      ),
      idleVteps: vteps.filter(({ isUp, isProtoDown }) => !isUp || isProtoDown),
      isVtepMissing: env?.backendType === "vxlan" && vteps.length === 0,
      way,
      tunnel,
      back,
      backLink: back && way.link,
      pod,
      podWay: pod && podWay(this.libc, pod, target),
      sourcePort,
      targetPort,
      wayLinks,
      traffic: readTraffic(this.client, wayLinks),
      ...this.#judgeable(book, shown, { kind, isFromPod, bridge, way, tunnel, sourcePort, targetPort }),
      filterFault,
      hasLegacy: legacyTablesWithRules(this.libc, this.#family).length > 0,
    };
  }

  /** The VTEPs of the packet's family. */
  #vteps(): readonly ObservedLink[] {
    const isOfFamily = ({ name }: ObservedLink) =>
      name.startsWith("flannel-v6.") === (this.#family !== AF_INET);
    return this.#links.filter((link) => isOurVtep(link) && isOfFamily(link));
  }

  #kindOf(ownSubnet: Prefix | undefined, book: RuleBook | undefined): AddressKind {
    const { target, env, registry } = this.question;
    if (this.#isOwn(target)) return "own-address";
    if (ownSubnet !== undefined && prefixContains(ownSubnet, target)) return "own-pod";
    if (env?.networks.some((network) => prefixContains(network, target))) return "overlay";
    if (registry.kind === "said" && registry.lease !== undefined) {
      return registry.lease.what === "underlay" ? "host" : "overlay";
    }
    return book !== undefined && isServiceAddress(book, target) ? "service" : "outside";
  }

  #isOwn(address: Address): boolean {
    return this.#addresses.some((one) => one.address === address);
  }

  /** The link that has the first address of the own subnet, and a bridge before any other. */
  #bridgeOf(subnet: Prefix | undefined): ChainFacts["bridge"] {
    if (subnet === undefined) return undefined;
    const near = this.#addresses.filter(({ address }) => prefixContains(subnet, address));
    const candidates = near.flatMap(({ linkIndex }) => this.#ways.linkOf(linkIndex) ?? [])
      .filter(({ kind }) => kind !== "vxlan");
    const link = candidates.find(({ kind }) => kind === "bridge") ?? candidates[0] ??
      this.#links.find(({ name, kind }) => name === "cni0" && kind === "bridge");
    if (link === undefined) return undefined;
    const of = this.#family === AF_INET ? "ipv4" : "ipv6";
    return {
      link,
      addresses: this.#addresses
        .filter(({ linkIndex, family }) => linkIndex === link.linkIndex && family === this.#family)
        .map(({ address }) => address),
      isForwarding: this.#flag(`net/${of}/conf/${link.name}/forwarding`),
    };
  }

  #flag(path: string): boolean | undefined {
    try {
      return this.libc.readSysctl(`/proc/sys/${path}`) === "1";
    } catch {
      return undefined;
    }
  }

  #sourceOf({ link }: Way, target: Address): Address | undefined {
    const near = this.#addresses.filter(({ linkIndex, family }) =>
      linkIndex === link?.linkIndex && family === this.#family
    );
    return (near.find(({ address, length }) =>
      maskAddress(address, length) === maskAddress(target, length)
    ) ??
      near[0])?.address;
  }

  #tunnelOf(way: Way, book: RuleBook | undefined): Tunnel | undefined {
    const { link, neighbour } = way;
    if (link?.vxlan === undefined) return undefined;
    const { vxlan } = link;
    const fdb = neighbour?.mac === undefined
      ? []
      : dumpFdbEntries(this.client, link.linkIndex).filter(({ mac }) => mac === neighbour.mac);
    const remote = fdb.find(({ address }) => address !== undefined)?.address;
    const outer = remote === undefined ? undefined : this.#outerWay(remote, vxlan);
    const packet = outer === undefined || vxlan.local === undefined ? undefined : {
      source: vxlan.local,
      destination: remote!,
      sourcePort: FROM_PORT,
      destinationPort: vxlan.port,
      state: "new" as const,
      ...outer.link !== undefined && { outputLink: outer.link },
    };
    const input = packet && {
      ...packet,
      source: packet.destination,
      destination: packet.source,
      ...outer!.link !== undefined && { inputLink: outer!.link },
    };
    const { local } = vxlan;
    return {
      link,
      fdb,
      isLocalOwn: local === undefined || this.#isOwn(local),
      outer,
      overheadBytes: OVERHEAD_BYTES[local === undefined ? this.#family : familyOf(local)],
      outerPacket: packet,
      outerAnswer: input && withoutOutput(input),
      outerOutput: book && packet ? walkHooks(book, [["output", packet], ["postrouting", packet]]) : [],
      outerInput: book && input
        ? walkHooks(book, (["prerouting", "input"] as const).map((hook) => [hook, withoutOutput(input)]))
        : [],
    };
  }

  #outerWay(remote: Address, { port, local }: NonNullable<ObservedLink["vxlan"]>): Way {
    return this.#ways.way({
      destination: remote,
      udpPort: port,
      ...local !== undefined && { source: local },
    });
  }

  /** What rules do with the packet, as one and as a frame. */
  #judgeable(
    book: RuleBook | undefined,
    source: Address | undefined,
    { kind, isFromPod, bridge, way, tunnel, sourcePort, targetPort }:
      & Pick<ChainFacts, "kind" | "isFromPod" | "bridge" | "way" | "tunnel">
      & Pick<ChainFacts, "sourcePort" | "targetPort">,
  ): Pick<ChainFacts, "filters" | "frameFilters"> {
    if (book === undefined || source === undefined) return { filters: undefined, frameFilters: [] };
    const packets = packetsOf(this.question.target, source, {
      inputLink: isFromPod ? bridge?.link : undefined,
      outputLink: way.link,
      isAnswerMarked: isCarriedMarked(book, tunnel),
    });
    const frameFilters = readFrameFilters(book, {
      packet: packets.packet,
      answer: packets.answer,
      outerPacket: tunnel?.outerPacket,
      outerAnswer: tunnel?.outerAnswer,
      bridge: bridge?.link,
      isFromPod,
      sourcePort,
      targetPort,
      isToPod: kind === "own-pod" && (bridge === undefined || way.link?.linkIndex === bridge.link.linkIndex),
      link: way.link,
      outerLink: tunnel?.outer?.link,
      isToSelf: kind === "own-address",
    });
    return { filters: readFilters(book, { kind, isFromPod, packets }), frameFilters };
  }

  #readBook(): { readonly book: RuleBook | undefined; readonly filterFault: string | undefined } {
    try {
      return { book: readRuleBook(this.ruleClient), filterFault: undefined };
    } catch (error) {
      return { book: undefined, filterFault: errorText(error) };
    }
  }
}

/** Whether what comes in by a tunnel may have a mark that rules gave to what carries it. */
function isCarriedMarked(book: RuleBook, tunnel: Tunnel | undefined): boolean {
  const local = tunnel?.link.vxlan?.local;
  return local !== undefined &&
    mayMarkCarried(book, { port: tunnel!.link.vxlan!.port, local, link: tunnel!.outer?.link });
}

/** Behind that of the bridge. */
function someOf({ address }: Prefix): Address {
  return (typeof address === "number" ? address + 2 : address + 2n) as Address;
}
