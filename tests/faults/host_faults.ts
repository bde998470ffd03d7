import { AgentProcess } from "../../src/lab/agent_process.ts";
import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import { forwardingSysctl } from "../../src/lab/wiring.ts";
import { AF_INET } from "../../src/model/address.ts";
import { httpGet } from "../double/overlay_http.ts";
import { blockRegistry, unblockRegistry } from "../double/overlay_registry.ts";
import { agentCommand, until, untilReady } from "../double/overlay_rig.ts";
import { emptyFolder, fillFolder, freeFolder, moveIntoBallast } from "./disk.ts";
import { reversePathSysctl } from "./host_state.ts";
import { deleteRows, vtepName } from "./objects.ts";
import { deleteMasqueradeRule, deleteTable, dropForwarded, flushIptables, flushRuleset } from "./rules.ts";
import { type Fault, type FaultSite, WITH_VTEP } from "./site.ts";

/** Where a second agent answers. */
const SECOND_HEALTH_ADDRESS = "127.0.0.1:8082";
const seconds = new WeakMap<LabHost, AgentProcess>();

/** Faults of the process, and of what it keeps on disk. */
export const AGENT_FAULTS: readonly Fault[] = [
  ...(["SIGKILL", "SIGTERM"] as const).map((signal): Fault => ({
    name: `the agent gets ${signal} and is started again`,
    isOfHost: true,
    reach: "nobody",
    shows: false,
    make: async ({ host }) => void await host.stopAgent(signal),
    restore: startAgent,
  })),
  {
    name: "a route is deleted while no agent runs",
    reach: "peer",
    shows: false,
    make: async (site) => {
      await site.host.stopAgent("SIGKILL");
      deleteRows("routes", "peer")(site);
    },
    restore: startAgent,
  },
  {
    name: "a second agent is started on the host, and killed",
    isOfHost: true,
    reach: "nobody",
    shows: false,
    make: async (site) => {
      const second = startSecondAgent(site);
      await until("see the second agent wait", async () => {
        const answer = await httpGet(site.libc, site.host.netns, "/readyz", SECOND_HEALTH_ADDRESS);
        return answer?.body.includes("another agent") ? true : undefined;
      });
      seconds.set(site.host, second);
    },
    restore: async ({ host }) => void await seconds.get(host)!.stop("SIGKILL"),
  },
];

/** Faults of what the agent reads from, and writes to. */
export const FILE_FAULTS: readonly Fault[] = [
  {
    name: "the subnet file is deleted",
    isOfHost: true,
    reach: "nobody",
    make: ({ host }) => Deno.remove(host.subnetFilePath),
  },
  {
    name: "/run/flannel is emptied",
    isOfHost: true,
    reach: "nobody",
    make: ({ host }) => emptyFolder(host.directory),
  },
  {
    name: "/run is full, and the subnet file is gone",
    isOfHost: true,
    reach: "nobody",
    follows: "host",
    make: async ({ host }) => {
      await fillFolder(host.directory);
      await moveIntoBallast(host.subnetFilePath);
    },
    restore: ({ host }) => freeFolder(host.directory),
  },
  {
    name: "the registry can't be read, and is back",
    isOfAll: true,
    isOfHost: true,
    reach: "nobody",
    shows: false,
    make: async ({ lab, libc, host }) => {
      blockRegistry(lab);
      let said = "nothing";
      await until("hear that the registry is away", async () => {
        said = (await httpGet(libc, host.netns, "/readyz"))?.body ?? "nothing";
        return said.includes("the registry can't be followed") || undefined;
      }, () => said);
    },
    restore: ({ lab }) => unblockRegistry(lab),
  },
];

/** Faults of the packet filter. */
export const RULE_FAULTS: readonly Fault[] = [
  { name: "a masquerade rule is deleted", reach: "nobody", isOfRules: true, make: deleteMasqueradeRule },
  { name: "the masquerade table is deleted", reach: "nobody", isOfRules: true, make: deleteTable },
  { name: "iptables -F, where the policy is DROP", reach: "family", isOfRules: true, make: flushIptables },
  {
    name: "nft flush ruleset, and the policy DROP is back, as firewalld reloads",
    isOfHost: true,
    reach: "host",
    isOfRules: true,
    make: flushRuleset,
    restore: ({ host }) => dropForwarded(host),
  },
];

/** Faults of the kernel's settings. */
export const SYSCTL_FAULTS: readonly Fault[] = [
  {
    name: "forwarding is turned off",
    reach: "family",
    make: ({ host, family }) => host.netns.writeSysctl(forwardingSysctl(family), "0"),
  },
  {
    name: "rp_filter of the overlay link is made strict",
    reach: "nobody",
    family: AF_INET,
    modes: WITH_VTEP,
    make: (site) => site.host.netns.writeSysctl(reversePathSysctl(vtepName(site)), "1"),
  },
];

async function startAgent({ host, libc, agentFlags }: FaultSite): Promise<void> {
  host.startAgent(agentFlags);
  await untilReady(libc, host);
}

/** Starts another agent beside the host's own, as two releases of a chart would. */
function startSecondAgent({ lab, host, agentFlags }: FaultSite): AgentProcess {
  const [ip, port] = SECOND_HEALTH_ADDRESS.split(":");
  return AgentProcess.start({
    netns: host.netns.name,
    logPath: `${lab.directory}/second.log`,
    environment: {},
    command: [
      ...agentCommand,
      `-local-registry=${lab.registryPath}`,
      `-net-config-path=${lab.networkConfigPath}`,
      `-subnet-file=${host.subnetFilePath}`,
      `-lease-cache=${host.directory}/leases.json`,
      `-iface=${UPLINK}`,
      `-healthz-ip=${ip}`,
      `-healthz-port=${port}`,
      "-unmanaged-files=false",
      ...agentFlags,
    ],
  });
}
