import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import { linkIndexOf } from "../../src/lab/wiring.ts";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import { FLANNELD_LOOK } from "../double/flanneld_rules.ts";
import { httpGet } from "../double/overlay_http.ts";
import { untilReady } from "../double/overlay_rig.ts";
import { ip, within } from "../double/overlay_standing.ts";
import {
  hasRouterRoute,
  type RouterAdvertisement,
  sendRouterAdvertisement,
  validSeconds,
} from "../double/router_advertisement.ts";
import type { StandingFault, StandingSite } from "./standing_faults.ts";

const DEADLINE_MS = 60_000;
const BOTH = [AF_INET, AF_INET6] as const;
const FORWARDING = "net/ipv6/conf/all/forwarding";
const ACCEPT_RA = `net/ipv6/conf/${UPLINK}/accept_ra`;
const PREFIX = "2001:db8:5::";
const ANOTHER_SUBNET = "10.244.77.0/24";

/** What a flanneld, a cluster and a router beside an agent do. */
export const BESIDE_FAULTS: readonly StandingFault[] = [
  {
    name: "a flanneld puts its rules back again and again, and is stopped",
    hits: [],
    prepare: async ({ lab: { hosts: [host] }, flags, libc }) => {
      await host!.stopAgent();
      host!.startAgent([...flags, "-ip-masq"]);
      await untilReady(libc, host!);
    },
    steps: [{
      make: async ({ overlay, host }) => {
        let said = "";
        await within("hear of flanneld", DEADLINE_MS, async () => {
          await host.netns.mustExec("sh", "-ec", FLANNELD_LOOK);
          said = (await httpGet(overlay.libc, host.netns, "/status"))?.body ?? "";
          return said.includes("flanneld runs on this host too");
        }, () => said);
      },
    }],
  },
  {
    name: "the podCIDR of a node becomes another, and what it was",
    hits: [0],
    // A lease that is lost again and again is taken again after a pause.
    isOnce: true,
    options: { registries: ["Kubernetes"] },
    steps: [{
      make: async ({ overlay, host }) => {
        await overlay.recreateNode!(host, ANOTHER_SUBNET);
        let said = "";
        await within("see the other subnet in use", DEADLINE_MS, async () => {
          said = await Deno.readTextFile(host.subnetFilePath);
          return said.includes("10.244.77.1/24");
        }, () => said);
        await overlay.recreateNode!(host);
      },
    }],
  },
  {
    name: "a router is the default router before the agent turns on forwarding",
    hits: [0],
    options: { families: [...BOTH] },
    steps: [{
      make: (site) =>
        startBeside(site, async (advertise) => {
          const hear = () =>
            untilHeard("have a default route", () => advertise({}), () => hasRouterRoute(site.host));
          await hear();
          await startForwarding(site);
          await forgetRouter(site.host);
          await hear();
        }),
    }],
  },
  {
    name: "a router that is no default router gives an address before the agent turns on forwarding",
    hits: [0],
    options: { families: [...BOTH] },
    steps: [{
      make: (site) =>
        startBeside(site, async (advertise) => {
          const hear = (seconds: number) =>
            untilHeard(
              `have an address for ${seconds} s`,
              () => advertise({ routerSeconds: 0, prefix: PREFIX, validSeconds: seconds }),
              async () => (await validSeconds(site.host, PREFIX) ?? 0) > seconds - 60,
            );
          await hear(600);
          await startForwarding(site);
          await hear(7200);
        }),
    }],
  },
  {
    name: "a router speaks only after the agent has turned on forwarding",
    hits: [0],
    options: { families: [...BOTH] },
    steps: [{
      make: (site) =>
        startBeside(site, async (advertise) => {
          await startForwarding(site);
          await untilHeard(
            "have an address and a default route",
            () => advertise({ prefix: PREFIX }),
            async () =>
              await hasRouterRoute(site.host) && await validSeconds(site.host, PREFIX) !== undefined,
          );
        }),
    }],
  },
];

/** Runs `run` with a host whose agent is stopped and that forwards no IPv6, and takes away what a router has given. */
async function startBeside(
  { overlay: { lab, libc }, host }: StandingSite,
  run: (advertise: (advertisement: RouterAdvertisement) => void) => Promise<void>,
): Promise<void> {
  await host.stopAgent();
  host.netns.writeSysctl(FORWARDING, "0");
  host.netns.writeSysctl(ACCEPT_RA, "1");
  const port = linkIndexOf(lab.underlay.client, "switch");
  await run((advertisement) => sendRouterAdvertisement(libc, lab.underlay, port, advertisement));
  await forgetRouter(host);
  const { stdout } = await host.exec("ip", "-6", "-j", "address", "show", "dev", UPLINK);
  const given = JSON.parse(stdout)[0].addr_info.map(({ local }: { local: string }) => local)
    .filter((local: string) => local.startsWith(PREFIX.slice(0, -1)));
  for (const address of given) await ip(host, "-6", "address", "delete", `${address}/64`, "dev", UPLINK);
}

async function startForwarding({ overlay: { flags, libc }, host }: StandingSite): Promise<void> {
  host.startAgent(flags);
  await untilReady(libc, host);
  await within(
    "see it forward",
    DEADLINE_MS,
    () => Promise.resolve(host.netns.readSysctl(FORWARDING) === "1"),
  );
}

async function forgetRouter(host: LabHost): Promise<void> {
  if (await hasRouterRoute(host)) await ip(host, "-6", "route", "delete", "default", "proto", "ra");
}

/** Advertises until that is heard. */
async function untilHeard(
  what: string,
  advertise: () => void,
  isHeard: () => Promise<boolean>,
): Promise<void> {
  await within(what, DEADLINE_MS, async () => {
    advertise();
    return await isHeard();
  });
}
