import fc from "fast-check";
import { AF_INET, AF_INET6, type Family, formatAddress } from "../../../src/model/address.ts";
import type { HostNetwork } from "../../../src/overlay/underlay/host_network.ts";
import { address, link, route } from "./hosts.ts";

const PERMANENT = 0x80;
/** Usable, deprecated, tentative, another host's too. */
const FLAGS = [PERMANENT, PERMANENT | 0x20, PERMANENT | 0x40, PERMANENT | 0x08] as const;

const LINK_NAMES = ["eth0", "eth1", "tun0"] as const;
type LinkName = typeof LINK_NAMES[number] | "cni0" | "flannel.1";

/** What the host has at the start, of each family. */
export const START = ["192.0.2.1/24", "2001:db8::1/64"] as const;

/** Addresses that come and go, and where. */
const ADDRESSES: readonly (readonly [LinkName, string])[] = [
  ["eth0", START[0]],
  ["eth0", START[1]],
  ["eth0", "192.0.2.9/24"],
  ["eth0", "192.0.2.200/32"],
  ["eth0", "2001:db8::aaaa/128"],
  ["eth0", "fe80::1/64"],
  ["eth1", "198.51.100.1/24"],
  ["eth1", "2001:db8:1::1/64"],
  ["tun0", "10.8.0.6/32"],
  ["tun0", "2001:db8:8::6/64"],
  ["cni0", "10.244.1.1/24"],
  ["cni0", "192.168.9.9/24"],
  ["cni0", "fd00:10:244:1::1/64"],
  ["flannel.1", "10.244.1.0/32"],
  ["eth0", "10.244.7.7/16"],
];

/** What can become of a host's network. */
export type HostEvent =
  | { readonly kind: "address"; readonly which: number; readonly flags: number | undefined }
  | { readonly kind: "link"; readonly name: LinkName; readonly becomes: "up" | "down" | "another" | "gone" }
  | {
    readonly kind: "route";
    readonly family: Family;
    readonly name: LinkName;
    readonly metric: number | undefined;
  };

const metric = fc.option(fc.constantFrom(0, 50, 100, 200), { nil: undefined });

/** Mostly what repairs, so that hosts are whole again now and then. */
export const anyEvent: fc.Arbitrary<HostEvent> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("address" as const),
      which: fc.nat(ADDRESSES.length - 1),
      flags: fc.option(fc.constantFrom(PERMANENT, PERMANENT, ...FLAGS, 0), { nil: undefined }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("link" as const),
      name: fc.constantFrom<LinkName>(...LINK_NAMES, "eth0", "cni0"),
      becomes: fc.constantFrom(
        "up" as const,
        "up" as const,
        "down" as const,
        "another" as const,
        "gone" as const,
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("route" as const),
      family: fc.constantFrom<Family>(AF_INET, AF_INET6),
      name: fc.constantFrom<LinkName>(...LINK_NAMES, "eth0", "cni0", "flannel.1"),
      metric,
    }),
  },
);

/** What makes the host as it was at the start, beside all else that it has: in random order, some of it missing. */
export const anyRepair: fc.Arbitrary<readonly HostEvent[]> = fc.shuffledSubarray<HostEvent>([
  { kind: "link", name: "eth0", becomes: "up" },
  { kind: "address", which: 0, flags: PERMANENT },
  { kind: "address", which: 1, flags: PERMANENT },
  { kind: "route", family: AF_INET, name: "eth0", metric: 100 },
  { kind: "route", family: AF_INET6, name: "eth0", metric: 100 },
], { minLength: 3 });

/** A host's links, addresses and default routes, that change as the kernel's do. */
export class ChangingHost {
  readonly #links = new Map<LinkName, { linkIndex: number; isUp: boolean }>();
  #nextIndex = 2;
  /** Flags by position in `ADDRESSES`; the order is the kernel's. */
  readonly #addresses = new Map<number, number>();
  readonly #routes = new Map<string, { family: Family; name: LinkName; metric: number }>();

  constructor() {
    for (const name of [...LINK_NAMES, "cni0", "flannel.1"] as const) this.#makeLink(name);
    for (const which of [0, 1, 10, 12, 13]) this.#addresses.set(which, PERMANENT);
    for (const family of [AF_INET, AF_INET6] as const) {
      this.change({ kind: "route", family, name: "eth0", metric: 100 });
    }
  }

  #makeLink(name: LinkName): void {
    this.#links.set(name, { linkIndex: this.#nextIndex++, isUp: true });
  }

  change(event: HostEvent): void {
    switch (event.kind) {
      case "address": {
        const [name] = ADDRESSES[event.which]!;
        this.#addresses.delete(event.which);
        if (event.flags !== undefined && this.#links.has(name)) this.#addresses.set(event.which, event.flags);
        return;
      }
      case "route": {
        const { family, name, metric } = event;
        this.#routes.delete(`${family} ${name}`);
        if (metric !== undefined && this.#links.get(name)?.isUp) {
          this.#routes.set(`${family} ${name}`, { family, name, metric });
        }
        return;
      }
      case "link":
        return this.#changeLink(event.name, event.becomes);
    }
  }

  #changeLink(name: LinkName, becomes: "up" | "down" | "another" | "gone"): void {
    if (becomes !== "up" || !this.#links.has(name)) {
      for (const family of [AF_INET, AF_INET6]) this.#routes.delete(`${family} ${name}`);
    }
    if (becomes === "down" && !this.#links.has(name)) return;
    const isAway = becomes === "another" || becomes === "gone";
    for (const which of this.#addresses.keys()) {
      const [where, text] = ADDRESSES[which]!;
      // A link that is down keeps its IPv4 addresses only.
      if (where === name && (isAway || (becomes === "down" && text.includes(":")))) {
        this.#addresses.delete(which);
      }
    }
    if (isAway) this.#links.delete(name);
    if (becomes === "another" || (becomes === "up" && !this.#links.has(name))) this.#makeLink(name);
    else if (!isAway) this.#links.get(name)!.isUp = becomes === "up";
  }

  get network(): HostNetwork {
    return {
      links: [...this.#links].map(([name, { linkIndex, isUp }]) => ({
        ...link(linkIndex, name),
        isUp,
        kind: name === "cni0" ? "bridge" : name === "flannel.1" ? "vxlan" : "veth",
      })),
      addresses: [...this.#addresses].flatMap(([which, flags]) => {
        const [name, text] = ADDRESSES[which]!;
        const found = this.#links.get(name);
        return found === undefined ? [] : [address(found.linkIndex, text, flags)];
      }),
      defaultRoutes: [...this.#routes.values()].map(({ family, name, metric }) =>
        route(family, this.#links.get(name)!.linkIndex, metric)
      ),
    };
  }

  /** Whether outer packets can come from an address on the link of this index. */
  isWorking(linkIndex: number, text: string): boolean {
    const isUp = [...this.#links.values()].some((link) => link.linkIndex === linkIndex && link.isUp);
    return isUp &&
      this.network.addresses.some((entry) =>
        entry.linkIndex === linkIndex && formatAddress(entry.address) === text && (entry.flags & 0x68) === 0
      );
  }

  /** Whether all of the start's addresses of these families are there again, and eth0 leads out if it must. */
  isWhole(families: readonly Family[], mustLeadOut: boolean): boolean {
    const linkIndex = this.#links.get("eth0")?.linkIndex;
    if (linkIndex === undefined) return false;
    const leadsOut = families.some((family) => this.#routes.has(`${family} eth0`));
    return (leadsOut || !mustLeadOut) &&
      families.every((family) => this.isWorking(linkIndex, START[family === AF_INET ? 0 : 1].split("/")[0]!));
  }
}
