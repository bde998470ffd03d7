import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import type { RegistryName, RegistryOptions, RegistryOverlay } from "../double/overlay_registries.ts";
import { statusOf, untilSettled } from "../double/overlay_rig.ts";
import { connectAside, copyHost } from "../double/overlay_second_self.ts";
import { SERVER_ADDRESS } from "../double/overlay_servers.ts";
import {
  addLink,
  addressOf,
  changeAddress,
  forgetNeighbours,
  ip,
  leaseOf,
  type Standing,
  untilContested,
  within,
} from "../double/overlay_standing.ts";
import { insertCard, pinCardMac } from "./objects.ts";

/** An address of the segment that no host has. */
const ELSEWHERE = "192.0.2.101";
const VIRTUAL = "192.0.2.200/32";
const VPN = { address: "198.51.100.77/24", metric: "50" } as const;
/** The metric of a default route that a VPN's is better than. */
const USUAL_METRIC = "100";
const DEADLINE_MS = 20_000;

/** Where a fault is made: a lab of settled hosts, the first of them the victim. */
export interface StandingSite {
  readonly overlay: RegistryOverlay;
  readonly host: LabHost;
  readonly peer: LabHost;
  /** How all stood before. */
  readonly before: Standing;
}

/** A part of a fault, after each of which all has to be whole. */
export interface StandingStep {
  /** The time runs from its end. */
  readonly make: (site: StandingSite) => Promise<void>;
  /** Where hosts are by then in IPv4; all where they were if absent. */
  readonly moved?: (site: StandingSite) => ReadonlyMap<LabHost, string>;
  /** How many leases there are more than before; none if absent. */
  readonly newcomers?: number;
}

/** Something that happens to who a host is, or where it stands. */
export interface StandingFault {
  /** As it stands in the table. */
  readonly name: string;
  /** Which hosts of the lab may lose packets; all others lose none. */
  readonly hits: readonly number[];
  /** Whether it can be made again after the last step; it can if absent. */
  readonly isOnce?: boolean;
  /** Whether it is made on all registries in each run: no other test does. */
  readonly isOnAll?: true;
  readonly options?: Pick<RegistryOptions, "registries" | "nodeName" | "underlayFlags" | "families">;
  /** What has to be so beforehand. */
  readonly prepare?: (overlay: RegistryOverlay) => Promise<void>;
  readonly steps: readonly StandingStep[];
}

/** Everything that happens to who a host is and where it stands, in the order of the table. */
export const STANDING_FAULTS: readonly StandingFault[] = [
  {
    name: "the address is changed, and back",
    hits: [0],
    steps: [
      { make: ({ host }) => changeAddress(host, addressOf(host), ELSEWHERE), moved: isElsewhere },
      { make: ({ host }) => changeAddress(host, ELSEWHERE, addressOf(host)) },
    ],
  },
  {
    name: "the address is changed while the agent is stopped, and back",
    hits: [0],
    steps: [
      { make: (site) => moveStopped(site, addressOf(site.host), ELSEWHERE), moved: isElsewhere },
      { make: (site) => moveStopped(site, ELSEWHERE, addressOf(site.host)) },
    ],
  },
  {
    name: "two hosts swap addresses while their agents are stopped, and back",
    hits: [0, 1],
    prepare: async (overlay) => void await addMember(overlay),
    steps: [
      {
        make: swap,
        moved: ({ host, peer }) => new Map([[host, addressOf(peer)], [peer, addressOf(host)]]),
      },
      { make: swap },
    ],
  },
  {
    name: "a virtual address comes, moves to another host, and goes",
    isOnAll: true,
    hits: [],
    prepare: leaseAddresses,
    steps: [
      { make: ({ host }) => ipDone(host, "address", "add", VIRTUAL, "dev", UPLINK) },
      {
        make: async ({ host, peer }) => {
          await ip(host, "address", "delete", VIRTUAL, "dev", UPLINK);
          await ip(peer, "address", "add", VIRTUAL, "dev", UPLINK);
        },
      },
      { make: ({ peer }) => ipDone(peer, "address", "delete", VIRTUAL, "dev", UPLINK) },
    ],
  },
  {
    name: "a VPN's default route of a better metric comes and goes, without -iface",
    isOnAll: true,
    hits: [],
    options: { underlayFlags: [] },
    prepare: useUsualMetric,
    steps: [
      {
        make: async ({ host }) => {
          await addLink(host, "tun0");
          await ip(host, "address", "add", VPN.address, "dev", "tun0");
          await ip(host, "route", "add", "default", "dev", "tun0", "metric", VPN.metric);
        },
      },
      { make: ({ host }) => ipDone(host, "link", "delete", "tun0") },
    ],
  },
  {
    name: "the network card is taken out and put in again, with an -iface-regex that fits pods too",
    isOnAll: true,
    hits: [0],
    options: { underlayFlags: ["-iface-regex=^(?:192|10)\\."] },
    prepare: ({ lab }) => Promise.resolve(pinCardMac(lab.hosts[0]!)),
    steps: [{
      make: async ({ overlay, host }) => {
        await ip(host, "link", "delete", UPLINK);
        await untilNextPass(overlay, host);
        insertCard({ lab: overlay.lab, libc: overlay.libc, host });
      },
    }],
  },
  {
    name: "another host gets the same address, and its own again",
    hits: [0, 3],
    prepare: async (overlay) => {
      const twin = await addMember(overlay);
      await connectAside(overlay, twin, overlay.lab.hosts[0]!);
    },
    steps: [{
      make: async ({ overlay, host, before }) => {
        const twin = overlay.lab.hosts[3]!;
        await changeAddress(twin, addressOf(twin), addressOf(host));
        await untilContested(overlay, host, [leaseOf(before.leases, twin).key]);
        await untilContested(overlay, twin, [leaseOf(before.leases, host).key]);
        await changeAddress(twin, addressOf(host), addressOf(twin));
        await forgetNeighbours(overlay);
      },
    }],
  },
  {
    name: "a clone starts",
    hits: [],
    isOnce: true,
    steps: [{
      newcomers: 1,
      make: async ({ overlay, host, before }) => {
        const clone = await overlay.addHost();
        await copyHost(overlay, host, clone, leaseOf(before.leases, host).mac!);
        clone.startAgent(overlay.flags);
      },
    }],
  },
  {
    name: "a node comes with another's podCIDR, and goes",
    hits: [],
    isOnce: true,
    options: {
      registries: ["Kubernetes"],
      nodeName: (hostName) => hostName === "h4" ? "a4" : hostName,
    },
    steps: [{
      make: async ({ overlay, host, before }) => {
        const { subnets, key } = leaseOf(before.leases, host);
        const newcomer = await overlay.addHost(subnets[0]!);
        newcomer.startAgent(overlay.flags);
        await untilContested(overlay, newcomer, [key]);
        await untilContested(overlay, host, ["a4"]);
        await newcomer.stopAgent();
        await overlay.remove("a4");
      },
    }],
  },
];

/** The registries that a fault can be made in. */
export function registriesOf(
  { options }: StandingFault,
  all: readonly RegistryName[],
): readonly RegistryName[] {
  return options?.registries ?? all;
}

function isElsewhere({ host }: StandingSite): ReadonlyMap<LabHost, string> {
  return new Map([[host, ELSEWHERE]]);
}

async function moveStopped({ overlay, host }: StandingSite, from: string, to: string): Promise<void> {
  await host.stopAgent("SIGKILL");
  await changeAddress(host, from, to);
  host.startAgent(overlay.flags);
}

/** Lets two hosts change places; not for a moment do both have one address. */
async function swap({ overlay, host, peer }: StandingSite): Promise<void> {
  await Promise.all([host, peer].map((each) => each.stopAgent("SIGKILL")));
  const [first, second] = await Promise.all([host, peer].map(presentAddress)) as [string, string];
  await changeAddress(host, first, ELSEWHERE);
  await changeAddress(peer, second, first);
  await changeAddress(host, ELSEWHERE, second);
  await forgetNeighbours(overlay);
  for (const each of [host, peer]) each.startAgent(overlay.flags);
}

async function presentAddress(host: LabHost): Promise<string> {
  const [link] = JSON.parse(await ip(host, "-j", "-4", "address", "show", "dev", UPLINK));
  return link.addr_info[0].local;
}

/** Adds a host that is a member as all others are. */
async function addMember({ lab, libc, flags, addHost }: RegistryOverlay): Promise<LabHost> {
  const host = await addHost();
  host.startAgent(flags);
  await host.waitForSubnets();
  await host.makePod();
  await untilSettled(lab, libc);
  return host;
}

/** Gives all addresses an end, as DHCP does: the kernel lists a newer one without an end before them. */
async function leaseAddresses({ lab }: RegistryOverlay): Promise<void> {
  const ends = ["valid_lft", "3600", "preferred_lft", "3600"];
  for (const host of lab.hosts) {
    await ip(host, "address", "change", `${addressOf(host)}/24`, "dev", UPLINK, ...ends);
  }
}

/** Has default routes be such that another may be better. */
async function useUsualMetric({ lab }: RegistryOverlay): Promise<void> {
  const route = ["default", "via", SERVER_ADDRESS, "dev", UPLINK];
  for (const host of lab.hosts) {
    await ip(host, "route", "add", ...route, "metric", USUAL_METRIC);
    await ip(host, "route", "delete", ...route, "metric", "0");
  }
}

/** Waits until the agent of a host has looked at what is there now. */
async function untilNextPass({ libc }: RegistryOverlay, host: LabHost): Promise<void> {
  const started = async () => (await statusOf(libc, host))?.pass.startedAt;
  const last = await started();
  await within(`see another pass of ${host.name}`, DEADLINE_MS, async () => await started() !== last);
}

async function ipDone(host: LabHost, ...args: readonly string[]): Promise<void> {
  await ip(host, ...args);
}
