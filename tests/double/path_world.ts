import { type Address, formatAddress, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import type { ProbedNetwork } from "../../src/model/peer_path.ts";
import { EPERM, NetlinkError } from "../../src/linux/errno.ts";
import type { UdpArrival } from "../../src/linux/udp_port.ts";
import { MemberTable, type PathMembers } from "../../src/path/path_members.ts";
import { PathProber, type PathProberDeps, type ToldElsewhere } from "../../src/path/path_prober.ts";
import { RecordedLog } from "./recorded_log.ts";

/** A packet on its way between two hosts, by their numbers. */
export interface PathPacket {
  readonly from: number;
  readonly to: number;
  readonly network: ProbedNetwork;
  /** The size of the IP packet. */
  readonly packetBytes: number;
  readonly isPlain: boolean;
}

interface Port {
  readonly host: number;
  readonly network: ProbedNetwork;
  readonly inbox: UdpArrival[];
}

const PORT = 8475;

/** A host of the world. */
export interface PathHost {
  readonly prober: PathProber;
  /** Whether it takes part: its ports are open. */
  isUp: boolean;
  damageChanges: number;
}

/** Hosts that probe each other through a network that is a function. Times are those of the faked clock. */
export class PathWorld implements Disposable {
  readonly hosts: PathHost[] = [];
  readonly #ports = new Map<Address, Port>();
  readonly #abort = new AbortController();
  readonly #listening: Promise<void>[] = [];
  /** Whether a packet gets through. */
  carries: (packet: PathPacket) => boolean = () => true;
  /** Whether a host's kernel answers. */
  kernelAnswers: (from: number, to: number, network: ProbedNetwork) => boolean = () => false;
  /** Packets that VTEPs have received, by host. */
  readonly received: number[] = [];
  readonly #members = new Map<number, PathMembers>();

  constructor(count: number, options: Partial<PathProberDeps["options"]> = {}) {
    const leases = Array.from({ length: count }, (_, at): Lease => ({
      host: `n${at}`,
      backendType: "vxlan",
      parts: [{
        subnet: parsePrefix(`10.244.${at}.0/24`),
        underlayAddress: underlayOf(at),
        backendData: null,
      }],
      origin: { probePort: PORT },
    }));
    for (let at = 0; at < count; at++) {
      this.received.push(0);
      this.#members.set(
        at,
        new MemberTable(leases, { own: `n${at}`, backendType: "vxlan", hasOverlay: true, withOthers: false }),
      );
      const host: PathHost = { prober: this.#prober(at, options), isUp: true, damageChanges: 0 };
      this.hosts.push(host);
    }
  }

  /** Opens the ports of all, and listens. */
  open(): void {
    for (const { prober } of this.hosts) {
      prober.open();
      this.#listening.push(prober.listen({ signal: this.#abort.signal }));
    }
  }

  #prober(host: number, options: Partial<PathProberDeps["options"]>): PathProber {
    let wake = Promise.withResolvers<void>();
    this.#wakes[host] = () => wake.resolve();
    return new PathProber({
      options: { mode: "auto", port: PORT, budget: 3, ...options },
      members: () => this.#members.get(host)!,
      own: () => `n${host}`,
      expected: () => ({ overlay: 1450, underlay: 1500 }),
      places: () => [
        { network: "underlay", address: underlayOf(host) },
        { network: "overlay", address: overlayOf(host) },
      ],
      open: ({ address }) => {
        if (this.refusal !== undefined) throw new NetlinkError("bind UDP port", this.refusal);
        const network = address === overlayOf(host) ? "overlay" : "underlay";
        const port: Port = { host, network, inbox: [] };
        this.#ports.set(address, port);
        return {
          fd: 1,
          drops: 0,
          send: (bytes, target, _port, isPlain = false) => this.#send(port, { bytes, target, isPlain }),
          receive: () => port.inbox.shift(),
          [Symbol.dispose]: () => void this.#ports.delete(address),
        };
      },
      poll: {
        wait: async (entries) => {
          await wake.promise;
          wake = Promise.withResolvers<void>();
          return entries.map(() => true);
        },
        wake: () => wake.resolve(),
      },
      askKernel: (_, target, network) => {
        const to = Number(formatAddress(target).split(".")[network === "overlay" ? 2 : 3]);
        return Promise.resolve(this.kernelAnswers(host, to, network));
      },
      isRegistryAway: () => this.isRegistryAway,
      told: () => this.told.get(host) ?? { isAll: false, hosts: new Map() },
      vtepReceived: () => this.received[host],
      damageChanged: () => void this.hosts[host]!.damageChanges++,
      nonce: () => crypto.getRandomValues(new BigUint64Array(1))[0]!,
      now: () => Date.now(),
      elapsedMs: () => Date.now(),
      log: new RecordedLog(),
    });
  }

  /** Whether nobody's registry can be followed. */
  isRegistryAway = false;
  /** Hosts whose own packet filter refuses what they send over the overlay. */
  readonly mute = new Set<number>();
  /** What is told elsewhere, by host. */
  readonly told = new Map<number, ToldElsewhere>();
  readonly #wakes: (() => void)[] = [];
  /** With which errno ports are refused; opened if absent. */
  refusal: number | undefined;

  #send(
    from: Port,
    { bytes, target, isPlain }: { bytes: Uint8Array<ArrayBuffer>; target: Address; isPlain: boolean },
  ): number {
    const to = this.#ports.get(target);
    if (to === undefined || !this.hosts[from.host]!.isUp || !this.hosts[to.host]!.isUp) return 0;
    const { network } = from;
    if (network === "overlay" && this.mute.has(from.host)) return EPERM;
    const packet = { from: from.host, to: to.host, network, packetBytes: bytes.length + 28, isPlain };
    if (!this.carries(packet)) return 0;
    if (network === "overlay") this.received[to.host]!++;
    const source = network === "overlay" ? overlayOf(from.host) : underlayOf(from.host);
    to.inbox.push({ source, sourcePort: PORT, bytes: bytes.slice() });
    this.#wakes[to.host]!();
    return 0;
  }

  /** What a host has found of another. */
  stateOf(host: number, of: number): string | undefined {
    return this.hosts[host]!.prober.report.peers.find((peer) => peer.host === `n${of}`)?.state;
  }

  [Symbol.dispose](): void {
    this.#abort.abort();
  }
}

function underlayOf(host: number): Address {
  return parseAddress(`192.0.2.${host}`);
}

function overlayOf(host: number): Address {
  return parseAddress(`10.244.${host}.0`);
}
