import { formatAddress } from "../../model/address.ts";
import { portOwner } from "../../linux/port_owner.ts";
import { errorText } from "../../log/error_text.ts";
import type { Underlay } from "../../model/underlay.ts";
import type { ObservedLink } from "../../model/state.ts";
import { readSubnetEnv } from "../../pods/subnet_env.ts";
import { vtepNames } from "../../overlay/backend/vxlan.ts";
import { type Check, check } from "./check.ts";
import { doubtful, ok, type Said, UnseenError, wrong } from "./finding.ts";
import type { DoctorPlace } from "./place.ts";

/** What VXLAN puts around a packet, in IPv4 and in IPv6 (RFC 7348). */
const OVERHEAD_BYTES = { 2: 50, 10: 70 } as const;

/** The links of the overlay, and what they hang on. */
export const LINK_CHECKS: readonly Check[] = [
  {
    name: "underlay",
    look: async (place) => {
      try {
        return judgeUnderlay(await place.chosenUnderlay);
      } catch (error) {
        if (error instanceof UnseenError) throw error;
        return [wrong(errorText(error), "see `ip address` and `ip route`")];
      }
    },
  },
  check("vxlan-port", readPort, judgePort),
  check("mtu", readMtus, judgeMtus),
];

export function judgeUnderlay(
  { linkName, addresses, mtuBytes, caution, shortfalls = [] }: Underlay,
): readonly Said[] {
  const named = addresses.map(({ address }) => formatAddress(address)).join(" and ");
  const text = `${linkName} with ${named}, MTU ${mtuBytes}`;
  const notes = [...caution === undefined ? [] : [caution], ...shortfalls];
  if (notes.length === 0) return [ok(text)];
  return notes.map((note) => doubtful(`${text}: ${note}`, "name the right link with -iface, or mend it"));
}

/** Who may have the port of the VTEPs. */
export interface FoundPort {
  readonly port: number;
  readonly vni: number;
  /** The VTEPs of ours that are there. */
  readonly own: readonly ObservedLink[];
  /** VXLAN links of others. */
  readonly others: readonly ObservedLink[];
  /** Whether a UDP socket has the port. */
  readonly isBound: boolean;
  /** Whose socket that is, as a phrase; absent where nobody asked. */
  readonly owner?: string;
}

async function readPort(place: DoctorPlace): Promise<FoundPort | undefined> {
  const { config: { backend } } = await place.config;
  if (!("vni" in backend)) return undefined;
  const names = vtepNames(backend.vni);
  const vxlans = place.links.filter(({ kind }) => kind === "vxlan");
  const bound = ["udp", "udp6"].flatMap((name) =>
    portsIn(place.longKernelFile(`/proc/thread-self/net/${name}`) ?? "")
  );
  const isBound = bound.includes(backend.port);
  return {
    port: backend.port,
    vni: backend.vni,
    own: vxlans.filter(({ name }) => names.includes(name)),
    others: vxlans.filter(({ name }) => !names.includes(name)),
    isBound,
    ...isBound && { owner: portOwner(place.libc, "udp", backend.port) },
  };
}

/** The local ports in a list of sockets as `/proc/net/udp` has it. */
export function portsIn(list: string): number[] {
  return list.split("\n").flatMap((line) => {
    const [, port] = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) /.exec(line) ?? [];
    return port === undefined ? [] : [parseInt(port, 16)];
  });
}

export function judgePort(found: FoundPort | undefined): readonly Said[] {
  if (found === undefined) return [ok("the backend needs none")];
  const { port, vni, own, others, isBound, owner = "another program" } = found;
  const rivals = others.filter(({ vxlan }) => vxlan?.port === port);
  const twin = rivals.find(({ vxlan }) => vxlan!.vni === vni);
  if (twin !== undefined) {
    return [wrong(
      `${twin.name} is another VXLAN link with VNI ${vni} at UDP port ${port}: the kernel refuses a second one`,
      "delete it, or give this network another VNI or Port",
    )];
  }
  const up = own.filter(({ isUp }) => isUp);
  if (up.length > 0) return [ok(`${up.map(({ name }) => name).join(" and ")} has UDP port ${port}`)];
  // A VXLAN link that is up has it too, and shares it.
  if (isBound && !rivals.some(({ isUp }) => isUp)) {
    return [wrong(
      `${owner} has UDP port ${port}: no VTEP can be set up`,
      `end it (see \`ss -ulpn sport = :${port}\`), or choose another Port, the same on all hosts`,
    )];
  }
  return [ok(`UDP port ${port} is free`)];
}

/** The MTUs on the way of a packet from a pod. */
export interface FoundMtus {
  readonly underlay: { readonly name: string; readonly mtuBytes: number };
  /** Which an operator has given, of the outer packet; `undefined` where the underlay says it. */
  readonly configuredBytes: number | undefined;
  /** Each with what encapsulation takes of it. */
  readonly vteps: readonly {
    readonly name: string;
    readonly mtuBytes: number;
    readonly overheadBytes: number;
  }[];
  /** What pods may send, as the subnet file says; `undefined` if there is none. */
  readonly podBytes: number | undefined;
  readonly bridge: { readonly name: string; readonly mtuBytes: number } | undefined;
  /** The hosts' ends of pods' links. */
  readonly pods: readonly { readonly name: string; readonly mtuBytes: number }[];
}

async function readMtus(place: DoctorPlace): Promise<FoundMtus> {
  const { config: { backend } } = await place.config;
  const underlay = await place.underlay;
  const bridgeName = await place.podsBridge;
  const { links } = place;
  const bridge = links.find(({ name, kind }) => name === bridgeName && kind === "bridge");
  const vteps = "vni" in backend
    ? vtepNames(backend.vni).flatMap((name, at) => {
      const link = links.find((link) => link.name === name);
      return link === undefined ? [] : [{
        name,
        mtuBytes: link.mtuBytes,
        overheadBytes: at === 0 ? OVERHEAD_BYTES[2] : OVERHEAD_BYTES[10],
      }];
    })
    : [];
  const text = await place.files.named(place.options.subnetFilePath);
  return {
    underlay: {
      name: underlay.linkName,
      mtuBytes: Math.min(...underlay.addresses.map(({ mtuBytes }) => mtuBytes)),
    },
    configuredBytes: backend.mtuBytes,
    vteps,
    podBytes: text === undefined ? undefined : readSubnetEnv(text, place.options.subnetFilePath).mtuBytes,
    bridge,
    pods: bridge === undefined ? [] : links.filter(({ masterIndex }) => masterIndex === bridge.linkIndex),
  };
}

export function judgeMtus(found: FoundMtus): readonly Said[] {
  const { underlay, configuredBytes, vteps, podBytes, bridge, pods } = found;
  const said: Said[] = [];
  for (const { name, mtuBytes, overheadBytes } of vteps) {
    const most = underlay.mtuBytes - overheadBytes;
    if (mtuBytes > most) {
      said.push(wrong(
        `packets of ${mtuBytes} bytes over ${name} are ${
          mtuBytes + overheadBytes
        } with VXLAN around them, and ` +
          `${underlay.name} carries ${underlay.mtuBytes}: large ones get lost`,
        `raise the MTU of ${underlay.name}, or lower that of the backend ("MTU" in net-conf.json)`,
      ));
    } else if (mtuBytes < most && configuredBytes === undefined) {
      said.push(doubtful(
        `${name} has MTU ${mtuBytes}, and ${underlay.name} with ${underlay.mtuBytes} would carry ${most}`,
        "nothing if a path between hosts is narrower; else start the agent anew",
      ));
    }
  }
  const smallest = vteps.length > 0 ? Math.min(...vteps.map(({ mtuBytes }) => mtuBytes)) : underlay.mtuBytes;
  const carried = podBytes ?? smallest;
  if (podBytes !== undefined && podBytes > smallest) {
    said.push(wrong(
      `the subnet file gives pods MTU ${podBytes}, and the overlay carries ${smallest}: large packets get lost`,
      "start the agent anew, which writes it",
    ));
  }
  if (bridge !== undefined && bridge.mtuBytes < Math.min(carried, smallest)) {
    const isWithoutIpv6 = bridge.mtuBytes < 1280;
    said.push(doubtful(
      `${bridge.name} has MTU ${bridge.mtuBytes}, and pods may send ${carried}: larger packets to pods of this host ` +
        `don't get through it whole${isWithoutIpv6 ? ", and the kernel runs no IPv6 on it below 1280" : ""}`,
      `run "ip link set ${bridge.name} mtu ${carried}", or re-create the pods on it that have a smaller one`,
    ));
  }
  const large = pods.filter(({ mtuBytes }) => mtuBytes > carried);
  if (large.length > 0) {
    const names = large.slice(0, 3).map(({ name }) => name).join(", ");
    const more = large.length > 3 ? ` and ${large.length - 3} more` : "";
    said.push(doubtful(
      `${names}${more} on ${bridge!.name} ${
        large.length === 1 ? "has" : "have"
      } an MTU above the ${carried} bytes that the overlay carries: large packets may get lost`,
      "re-create these pods",
    ));
  }
  if (said.length > 0) return said;
  const parts = [
    `${underlay.name} ${underlay.mtuBytes}`,
    ...vteps.map(({ name, mtuBytes }) => `${name} ${mtuBytes}`),
    ...bridge === undefined ? [] : [`${bridge.name} ${bridge.mtuBytes}`],
    ...podBytes === undefined ? [] : [`pods ${podBytes}`],
  ];
  return [ok(parts.join(", "))];
}
