import { AgentProcess } from "../../src/lab/agent_process.ts";
import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import { defaultNetworkConfig } from "../../src/lab/plan.ts";
import { AF_INET, AF_INET6, formatAddress, formatPrefix } from "../../src/model/address.ts";
import { httpGet } from "../double/overlay_http.ts";
import type { RegistryOverlay } from "../double/overlay_registries.ts";
import { statusOf, untilReachable, untilReady } from "../double/overlay_rig.ts";
import { addLink, ip, untilContent, vtepsOf, within } from "../double/overlay_standing.ts";
import type { StandingFault, StandingSite } from "./standing_faults.ts";

const DEADLINE_MS = 60_000;
const BOTH = [AF_INET, AF_INET6] as const;
const RIGHT = defaultNetworkConfig([AF_INET]);
/** Where another agent of a host answers. */
const SECOND_PORT = 8082;
const VTEPS = ["flannel.1", "flannel-v6.1"] as const;

/** Others' routes to a peer's subnet: what stands before and behind the destination in ip-route(8). */
const FOREIGN: readonly (readonly [name: string, before: readonly string[], after: readonly string[]])[] = [
  ["a static route", [], ["dev", "lo", "proto", "static"]],
  ["an unreachable route", ["unreachable"], []],
  ["a route of the kernel", [], ["dev", "lo", "proto", "kernel", "scope", "link"]],
];

/** What happens to objects that are not Loden's, or not its alone, and to its own. */
export const OWNING_FAULTS: readonly StandingFault[] = [
  {
    name: "a lease over the gateway comes, and goes",
    hits: [],
    prepare: async ({ lab: { hosts: [host] } }) => {
      await ip(host!, "route", "add", "10.244.0.254/32", "dev", UPLINK);
      const gateway = ["default", "via", "10.244.0.254", "dev", UPLINK, "onlink", "metric", "900"];
      await ip(host!, "route", "add", ...gateway);
    },
    steps: [{ make: (site) => cover(site, "the gateway 10.244.0.254") }],
  },
  {
    name: "a lease over an address of the registry comes, and goes",
    hits: [],
    options: { registries: ["etcd"] },
    prepare: async ({ lab: { hosts: [host] }, flags, libc }) => {
      await host!.stopAgent();
      const endpoints = flags.find((flag) => flag.startsWith("-etcd-endpoints="))!;
      host!.startAgent([...flags, `${endpoints},http://10.244.0.2:2379`]);
      await untilReady(libc, host!);
    },
    steps: [{ make: (site) => cover(site, "10.244.0.2, where etcd ") }],
  },
  {
    name: "a lease over a connected network comes, and goes",
    hits: [],
    prepare: async ({ lab: { hosts: [host] } }) => {
      await addLink(host!, "lan0");
      await ip(host!, "address", "add", "10.244.0.9/24", "dev", "lan0");
    },
    steps: [{ make: (site) => cover(site, "10.244.0.9, an address of lan0") }],
  },
  ...FOREIGN.map(([name, before, after]): StandingFault => ({
    name: `${name} to a peer's subnet is there before the agent, and goes`,
    hits: [1],
    steps: [{
      make: async (site) => {
        await site.host.stopAgent();
        const [subnet] = site.peer.share.subnets;
        await ip(site.host, "route", "delete", formatPrefix(subnet!), "proto", "76");
        await foreignRoute(site, "add", before, after);
        site.host.startAgent(site.overlay.flags);
        await untilNamed(site);
        await foreignRoute(site, "delete", before, after);
      },
    }],
  })),
  {
    name: "a static route to a peer's subnet comes, and goes",
    hits: [1],
    steps: [{
      make: async (site) => {
        const [, before, after] = FOREIGN[0]!;
        await foreignRoute(site, "add", before, after);
        await untilNamed(site);
        await foreignRoute(site, "delete", before, after);
      },
    }],
  },
  {
    name: "another IPv6 next hop is put beside a peer's, and goes",
    hits: [1],
    options: { families: [...BOTH] },
    steps: [{
      make: async (site) => {
        const { overlay: { lab }, host, peer } = site;
        const via = formatAddress(lab.hosts[2]!.underlayAddresses[1]!);
        const hop = ["via", via, "dev", UPLINK, "proto", "static", "metric", "1024"];
        const route = [formatPrefix(peer.share.subnets[1]!), ...hop];
        await ip(host, "-6", "route", "append", ...route);
        await untilNamed(site);
        await ip(host, "-6", "route", "delete", ...route);
      },
    }],
  },
  {
    name: "the backend becomes host-gw, and vxlan again",
    hits: [0, 1, 2],
    steps: [{
      make: async (site) => {
        await restartWith(site.overlay, { ...RIGHT, Backend: { Type: "host-gw" } }, []);
        await restartWith(site.overlay, RIGHT, ["flannel.1"]);
      },
    }],
  },
  {
    name: "the VNI becomes another, and what it was again",
    hits: [0, 1, 2],
    steps: [{
      make: async (site) => {
        await restartWith(site.overlay, { ...RIGHT, Backend: { Type: "vxlan", VNI: 5 } }, ["flannel.5"]);
        await restartWith(site.overlay, RIGHT, ["flannel.1"]);
      },
    }],
  },
  {
    name: "a second agent of the same network starts, and takes over when the first is killed",
    hits: [],
    steps: [{
      make: async ({ overlay, host }) => {
        const second = startSecond(overlay, host, []);
        try {
          await untilAnswers(overlay, host, SECOND_PORT, "503 ");
          await host.stopAgent("SIGKILL");
          await untilAnswers(overlay, host, SECOND_PORT, "200 ");
        } finally {
          await second.stop("SIGKILL");
        }
        host.startAgent(overlay.flags);
      },
    }],
  },
  {
    name: "an agent of another network starts beside, and ends",
    hits: [],
    options: { registries: ["local"] },
    steps: [{
      make: async ({ overlay, host }) => {
        const config = `${host.directory}/red.json`;
        const red = { Network: "10.99.0.0/16", Backend: { Type: "vxlan", VNI: 9, Port: 8479 } };
        await Deno.writeTextFile(config, JSON.stringify(red));
        const second = startSecond(overlay, host, [
          `-local-registry=${host.directory}/red.db`,
          `-net-config-path=${config}`,
          `-subnet-file=${host.directory}/red.env`,
        ]);
        try {
          await untilAnswers(overlay, host, SECOND_PORT, "200 ");
        } finally {
          await second.stop("SIGTERM");
        }
      },
    }],
  },
  {
    name: "a wrong Network is rolled out to a host, and mended",
    hits: [],
    steps: [{
      make: async ({ overlay, host }) => {
        await overlay.configure({ ...RIGHT, Network: "10.99.0.0/16" });
        await host.stopAgent();
        host.startAgent(overlay.flags);
        await untilAnswers(overlay, host, 8081, "is not applied");
        await overlay.configure(RIGHT);
      },
    }],
  },
  {
    name: "the VTEP is made a port of a bridge",
    hits: [0],
    prepare: ({ lab }) => done(ip(lab.hosts[0]!, "link", "add", "br9", "type", "bridge")),
    steps: [{ make: ({ host }) => done(ip(host, "link", "set", "flannel.1", "master", "br9")) }],
  },
  {
    name: "new links have no IPv6, and the VTEPs are made again",
    hits: [0],
    options: { families: [...BOTH] },
    steps: [{
      make: async ({ host }) => {
        host.netns.writeSysctl("net/ipv6/conf/default/disable_ipv6", "1");
        for (const name of VTEPS) await ip(host, "link", "delete", name);
      },
    }],
  },
  {
    name: "the underlay's MTU is too small for IPv6 over VXLAN, and large again",
    hits: [],
    options: { families: [...BOTH] },
    steps: [{
      make: async ({ overlay, host }) => {
        await ip(host, "link", "set", UPLINK, "mtu", "1340");
        await within("hear that IPv6 is left out", DEADLINE_MS, async () => {
          return (await statusOf(overlay.libc, host))?.notes.some((note) => note.includes("1350")) ?? false;
        });
        await ip(host, "link", "set", UPLINK, "mtu", "1500");
      },
    }],
  },
];

/** Puts a lease of 10.244.0.0/24 into the registry, and takes it away once the host has left it out. */
async function cover({ overlay, host }: StandingSite, what: string): Promise<void> {
  const key = await overlay.put({ address: "192.0.2.99", mac: "0e:2a:00:00:00:99", subnet: "10.244.0.0" });
  let said = "";
  await within("hear that the lease is left out", DEADLINE_MS, async () => {
    said = JSON.stringify((await statusOf(overlay.libc, host))?.pass.faults);
    return said.includes(`covers ${what}`);
  }, () => said);
  await overlay.remove(key);
}

async function done(work: Promise<unknown>): Promise<void> {
  await work;
}

async function foreignRoute(
  { host, peer }: StandingSite,
  verb: "add" | "delete",
  before: readonly string[],
  after: readonly string[],
): Promise<void> {
  await ip(host, "route", verb, ...before, formatPrefix(peer.share.subnets[0]!), ...after);
}

/** Waits until the host has said of the peer that a route that is not ours takes its packets. */
async function untilNamed({ overlay, host }: StandingSite): Promise<void> {
  let said: unknown;
  await within("hear of the foreign route", DEADLINE_MS, async () => {
    const faults = (await statusOf(overlay.libc, host))?.pass.faults ?? [];
    said = faults;
    return faults.some(({ reason }) => reason.includes("not ours"));
  }, () => JSON.stringify(said));
}

/** Has all agents start with another configuration, and waits until all is whole with the VTEPs that go with it. */
async function restartWith(
  overlay: RegistryOverlay,
  config: Record<string, unknown>,
  vteps: readonly string[],
): Promise<void> {
  const { lab, flags } = overlay;
  await overlay.configure(config);
  for (const host of lab.hosts) await host.stopAgent();
  for (const host of lab.hosts) host.startAgent(flags);
  for (const host of lab.hosts) {
    await untilContent(overlay, host, DEADLINE_MS);
    let found: readonly string[] = [];
    await within(`see the VTEPs ${vteps} at ${host.name}`, DEADLINE_MS, async () => {
      found = await vtepsOf(host);
      return found.join() === vteps.join();
    }, () => found.join());
  }
  await untilReachable(lab);
}

/** Starts another agent on a host. */
function startSecond({ flags }: RegistryOverlay, host: LabHost, more: readonly string[]): AgentProcess {
  const start = host.agentStart([...flags, `-healthz-port=${SECOND_PORT}`, ...more]);
  return AgentProcess.start({ ...start, logPath: `${host.directory}/second.log` });
}

/** Waits until the agent at `port` of a host answers with `part`. */
async function untilAnswers(
  { libc }: RegistryOverlay,
  host: LabHost,
  port: number,
  part: string,
): Promise<void> {
  let answer = "";
  await within(`hear ${part}`, DEADLINE_MS, async () => {
    const response = await httpGet(libc, host.netns, "/readyz", `127.0.0.1:${port}`);
    answer = response === undefined ? "nobody listens" : `${response.status} ${response.body}`;
    return answer.includes(part);
  }, () => answer);
}
