import type { Lab } from "../../src/lab/lab.ts";
import {
  type Address,
  formatAddress,
  formatMac,
  type Ipv4,
  type Ipv6,
  type Mac,
  parseAddress,
} from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { pick } from "../double/random.ts";
import { releaseLeaseOf, seedLeases } from "../double/overlay_registry.ts";

const NETWORK4 = parseAddress("10.244.0.0") as Ipv4;
const NETWORK6 = parseAddress("fd00:10:244::") as Ipv6;
const UNDERLAY4 = parseAddress("198.18.0.0") as Ipv4;
const UNDERLAY6 = parseAddress("2001:db8:9::") as Ipv6;
const FIRST_MAC = 0x0e2a00000000;
/** /24 subnets of the one network, /64 of the other. */
const SUBNETS = 256;
/** The most members at a time. */
const MEMBERS = 60;

/** A host that is in the registry only: what its lease says, beside its subnets. */
interface Member {
  /** Which of the network's subnets it has. */
  readonly number: number;
  readonly mac: Mac;
  /** The last part of its underlay addresses. */
  readonly underlay: number;
}

/** Hosts of VXLAN in both families that come to the registry of a lab, change and go. */
export class Churn {
  readonly #lab: Lab;
  readonly #random: () => number;
  readonly #free: number[];
  readonly #members = new Map<number, Member>();
  /** Counts MACs and underlay addresses: no two members share one. */
  #serial = 0;

  constructor(lab: Lab, random: () => number) {
    this.#lab = lab;
    this.#random = random;
    const taken = new Set(
      lab.hosts.flatMap(({ share }) => share.subnets.map(({ address }) => numberOf(address))),
    );
    this.#free = Array.from({ length: SUBNETS }, (_, number) => number).filter((number) =>
      !taken.has(number)
    );
  }

  /** Makes some random changes in the registry. */
  async step(): Promise<void> {
    for (let count = Math.floor(this.#random() * 6); count > 0; count--) {
      const action = pick(this.#random, ["join", "join", "leave", "MAC", "address"] as const);
      const member = this.#members.size === 0 ? undefined : pick(this.#random, [...this.#members.values()]);
      if (member === undefined || action === "join") {
        if (this.#members.size < MEMBERS) await this.#join(pick(this.#random, this.#free));
      } else if (action === "leave") await this.#leave(member);
      else if (action === "MAC") await this.#write({ ...member, mac: this.#nextMac() });
      else await this.#write({ ...member, underlay: ++this.#serial });
    }
  }

  /** Ends all leases. */
  async end(): Promise<void> {
    for (const member of [...this.#members.values()]) await this.#leave(member);
  }

  /** What a host holds for the members: one entry a line, as `HostState` prints it without the words behind. */
  lines(): string[] {
    return [...this.#members.values()].flatMap(({ number, mac, underlay }) => {
      const [subnet4, subnet6] = [NETWORK4 + number * 256, subnetOf6(number)].map((address) =>
        formatAddress(address as Address)
      );
      const lladdr = formatMac(mac);
      return [
        `neighbour ${subnet4} lladdr ${lladdr} dev flannel.1`,
        `FDB entry ${lladdr} dst ${formatAddress(UNDERLAY4 + underlay as Ipv4)} dev flannel.1`,
        `route ${subnet4}/24 dev flannel.1`,
        `neighbour ${subnet6} lladdr ${lladdr} dev flannel-v6.1`,
        `FDB entry ${lladdr} dst ${formatAddress(UNDERLAY6 + BigInt(underlay) as Ipv6)} dev flannel-v6.1`,
        `route ${subnet6}/64 dev flannel-v6.1`,
      ];
    });
  }

  async #join(number: number): Promise<void> {
    this.#free.splice(this.#free.indexOf(number), 1);
    await this.#write({ number, mac: this.#nextMac(), underlay: ++this.#serial });
  }

  async #leave({ number }: Member): Promise<void> {
    this.#members.delete(number);
    this.#free.push(number);
    await releaseLeaseOf(this.#lab, nameOf(number));
  }

  async #write(member: Member): Promise<void> {
    this.#members.set(member.number, member);
    await seedLeases(this.#lab, [leaseOf(member)]);
  }

  #nextMac(): Mac {
    return FIRST_MAC + ++this.#serial as Mac;
  }
}

function leaseOf({ number, mac, underlay }: Member): Lease {
  const backendData = { VNI: 1, VtepMAC: formatMac(mac) };
  return {
    host: nameOf(number),
    backendType: "vxlan",
    parts: [
      {
        subnet: { address: NETWORK4 + number * 256 as Ipv4, length: 24 },
        underlayAddress: UNDERLAY4 + underlay as Ipv4,
        backendData,
      },
      {
        subnet: { address: subnetOf6(number), length: 64 },
        underlayAddress: UNDERLAY6 + BigInt(underlay) as Ipv6,
        backendData,
      },
    ],
  };
}

function nameOf(number: number): string {
  return `member-${number}`;
}

function subnetOf6(number: number): Ipv6 {
  return NETWORK6 + (BigInt(number) << 64n) as Ipv6;
}

/** Which of the network's subnets begins at `address`. */
function numberOf(address: Address): number {
  return typeof address === "number" ? address - NETWORK4 >> 8 : Number(address - NETWORK6 >> 64n);
}
