import type { LabHost } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { AF_INET } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import type { TestApiServer } from "./api_server.ts";
import { etcdAccess, kubeAccess, localAccess, type RegistryAccess } from "./overlay_leases.ts";
import { withOverlay } from "./overlay_rig.ts";
import {
  ETCD_PREFIX,
  nodeOf,
  type ServedOptions,
  startAll,
  withEtcdOverlay,
  withKubeOverlay,
} from "./overlay_servers.ts";

/** Where hosts may agree on their leases. */
export const REGISTRIES = ["local", "etcd", "Kubernetes"] as const;
export type RegistryName = typeof REGISTRIES[number];

/** Whether the real API server is left out, for a fast run. */
const IS_FAST = Deno.env.get("LODEN_SERVERS") === "double";

/** What the registry and its hosts are to be. */
export interface RegistryOptions extends ServedOptions {
  /** The registries that the subject exists in; all if absent. */
  readonly registries?: readonly RegistryName[];
  /** Whether a real API server is asked too, beside the double. */
  readonly isOnRealServer?: boolean;
}

/** Three settled hosts with a pod each, and the registry in which they agree. */
export interface RegistryOverlay extends RegistryAccess {
  readonly name: RegistryName;
  readonly lab: Lab;
  readonly libc: Libc;
  /** What the agents are started with. */
  readonly flags: readonly string[];
  /** Writes the network configuration where all hosts read it: in etcd, or in their file. */
  readonly configure: (config: Record<string, unknown>) => Promise<void>;
  /** What the registry or the cluster calls a host, where that is known beforehand. */
  readonly nodeName: (host: LabHost) => string;
  /**
   * Adds a host, without an agent; in a cluster its node too.
   *
   * @param subnet What the cluster gives its node; one of its own if absent.
   */
  addHost(subnet?: string): Promise<LabHost>;
  /** Deletes the node of a host and makes it again, as with another podCIDR; only in a cluster. */
  readonly recreateNode?: (host: LabHost, podCIDR?: string) => Promise<void>;
}

/** Defines one test for each registry: the one in a file, a real etcd, and nodes of an API server. */
export function onEveryRegistry(
  name: string,
  options: RegistryOptions,
  test: (overlay: RegistryOverlay) => Promise<void>,
): void {
  for (const registry of options.registries ?? REGISTRIES) {
    Deno.test(`${name} (${registry})`, () => withRegistry(registry, options, test));
  }
  if (options.isOnRealServer !== true || IS_FAST) return;
  Deno.test(`${name} (kube-apiserver)`, () => withKubeRegistry("real", options, test));
}

/** Runs `run` with three settled hosts that agree in a registry. */
export async function withRegistry(
  registry: RegistryName,
  options: RegistryOptions,
  run: (overlay: RegistryOverlay) => Promise<void>,
): Promise<void> {
  const { families = [AF_INET], underlayFlags } = options;
  switch (registry) {
    case "local":
      return await withOverlay({
        withAgents: false,
        families,
        ...underlayFlags && { underlayFlags },
      }, async (lab, libc) => {
        await startAll(lab, libc, []);
        await run({ ...placeOf("local", lab, libc, []), ...localAccess(lab) });
      });
    case "etcd":
      return await withEtcdOverlay(async ({ lab, libc, server, flags }) => {
        const configure = (config: Record<string, unknown>) =>
          server.put(`${ETCD_PREFIX}/config`, JSON.stringify(config));
        await run({ ...placeOf("etcd", lab, libc, flags), ...etcdAccess(server), configure });
      }, options);
    case "Kubernetes":
      return await withKubeRegistry("double", options, run);
  }
}

async function withKubeRegistry(
  kind: "real" | "double",
  options: RegistryOptions,
  run: (overlay: RegistryOverlay) => Promise<void>,
): Promise<void> {
  const { families = [AF_INET], nodeName = (hostName) => hostName } = options;
  await withKubeOverlay(kind, async ({ lab, libc, server, flags }) => {
    const names = () => lab.hosts.map(({ name }) => nodeName(name));
    await run({
      ...placeOf("Kubernetes", lab, libc, flags),
      ...kubeAccess(server, names),
      nodeName: ({ name }) => nodeName(name),
      addHost: (subnet) => addNode(lab, server, { subnet, families, nodeName }),
      recreateNode: async (host, podCIDR) => {
        const name = nodeName(host.name);
        await server.deleteNode(name);
        const node = nodeOf(lab.hosts.indexOf(host) + 1, { name, families });
        const spec = podCIDR === undefined ? node.spec : { podCIDR, podCIDRs: [podCIDR] };
        await server.createNode({ ...node, spec });
      },
    });
  }, options);
}

function placeOf(name: RegistryName, lab: Lab, libc: Libc, flags: readonly string[]) {
  return {
    name,
    lab,
    libc,
    flags,
    configure: (config: Record<string, unknown>) =>
      Deno.writeTextFile(lab.networkConfigPath, JSON.stringify(config)),
    nodeName: (host: LabHost) => host.name,
    addHost: () => lab.addHost(),
  };
}

async function addNode(
  lab: Lab,
  server: TestApiServer,
  { subnet, families, nodeName }: Required<Pick<ServedOptions, "families" | "nodeName">> & {
    readonly subnet: string | undefined;
  },
): Promise<LabHost> {
  const host = await lab.addHost();
  const number = lab.hosts.length;
  const node = nodeOf(number, { name: nodeName(host.name), families });
  const spec = subnet === undefined ? node.spec : { podCIDR: subnet, podCIDRs: [subnet] };
  await server.createNode({ ...node, spec });
  return host;
}
