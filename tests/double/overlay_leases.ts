import { isJson, type Json } from "./api_objects.ts";
import { ApiServerDouble, type TestApiServer } from "./api_server.ts";
import type { EtcdServer } from "./etcd.ts";
import { readRegistry, releaseLeaseOf, seedLeases } from "./overlay_registry.ts";
import { ETCD_PREFIX } from "./overlay_servers.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { LEASE_COLUMNS, readLeases } from "../../src/registry/local/local_row.ts";
import { formatAddress, formatPrefix, parseAddress, parsePrefix } from "../../src/model/address.ts";
import { KEYS, memberNode } from "../registry/kube/servers.ts";
import { flannelValue } from "../registry/etcd/etcd_world.ts";

const signal = new AbortController().signal;
const SUBNETS = `${ETCD_PREFIX}/subnets/`;
/** Subnets of what is put into a registry by hand, one of which no host has taken. */
const CLAIM_SUBNETS = ["10.244.200.0", "10.244.201.0", "10.244.202.0", "10.244.203.0"];
const CLAIM_NAME = "forged";
/** A claim by hand holds for longer than any test. */
const CLAIM_MS = 3600_000;

/** A lease as plain values, whichever registry it stands in. */
export interface HeldLease {
  /** What the registry knows it by. */
  readonly key: string;
  /** One a family, IPv4 first: `10.244.1.0/24`. */
  readonly subnets: readonly string[];
  /** Where the host says that it is, one a family. */
  readonly addresses: readonly string[];
  /** The MAC of the VTEP of the first family. */
  readonly mac: string | undefined;
  /** As it was found. */
  readonly text: string;
}

/** What is put into a registry by hand. */
export interface Claim {
  /** The first address of a /24; one that no host has if absent. */
  readonly subnet?: string;
  readonly address: string;
  readonly mac: string;
}

/** What a test sees of a registry, and does to it. */
export interface RegistryAccess {
  /** All leases, sorted by key. */
  leases(): Promise<readonly HeldLease[]>;
  /** A number that grows with each change; how it grows is the registry's own. */
  changes(): Promise<number>;
  /** Puts a lease that no host has asked for, and returns its key. */
  put(claim: Claim): Promise<string>;
  /** Takes a lease away, whose ever it is. */
  remove(key: string): Promise<void>;
}

/** A subnet for a claim that no host has taken. */
function freeOf(leases: readonly HeldLease[]): string {
  return CLAIM_SUBNETS.find((subnet) => !leases.some(({ subnets }) => subnets.includes(`${subnet}/24`)))!;
}

/** The registry in a file. */
export function localAccess(lab: Lab): RegistryAccess {
  const access: RegistryAccess = {
    leases: async () =>
      await readRegistry(lab, (file) => {
        const rows = file.rows("read", `SELECT ${LEASE_COLUMNS} FROM lease ORDER BY host, family`);
        return readLeases(rows, () => {}).map((lease): HeldLease => ({
          key: lease.host,
          subnets: lease.parts.map(({ subnet }) => formatPrefix(subnet)),
          addresses: lease.parts.map(({ underlayAddress }) => formatAddress(underlayAddress)),
          mac: macIn(lease.parts[0]?.backendData),
          text: JSON.stringify(rows.filter(([host]) => host === lease.host), plain),
        }));
      }),
    changes: async () =>
      await readRegistry(lab, (file) => Number(file.rows("count", "SELECT revision FROM state")[0]![0])),
    put: async ({ address, mac, subnet: wanted }) => {
      const part = {
        subnet: parsePrefix(`${wanted ?? freeOf(await access.leases())}/24`),
        underlayAddress: parseAddress(address),
        backendData: { VNI: 1, VtepMAC: mac },
      };
      const expiresAtMs = Date.now() + CLAIM_MS;
      await seedLeases(lab, [{ host: CLAIM_NAME, backendType: "vxlan", parts: [part], expiresAtMs }]);
      return CLAIM_NAME;
    },
    remove: (key) => releaseLeaseOf(lab, key),
  };
  return access;
}

/** The keys in etcd. */
export function etcdAccess(server: EtcdServer): RegistryAccess {
  const access: RegistryAccess = {
    leases: async () =>
      Object.entries(await server.list(SUBNETS)).map(([path, text]): HeldLease => {
        const key = path.slice(SUBNETS.length);
        const value = JSON.parse(text);
        const subnets = key.split("&").filter((half) => half !== "").map((half) =>
          half.replace(/-(\d+)$/, "/$1")
        );
        const addresses = subnets.map((subnet) => subnet.includes(":") ? value.PublicIPv6 : value.PublicIP);
        return { key, subnets, addresses, mac: macIn(value.BackendData ?? value.BackendV6Data), text };
      }).sort(byKey),
    changes: async () => Number((await server.client.range(SUBNETS, { signal })).revision),
    put: async ({ address, mac, subnet: wanted }) => {
      const key = `${wanted ?? freeOf(await access.leases())}-24`;
      await server.put(SUBNETS + key, flannelValue(address, mac));
      return key;
    },
    remove: (key) => server.delete(SUBNETS + key),
  };
  return access;
}

/** Annotations of nodes. @param nodeNames All nodes that may have a lease, besides those put by hand. */
export function kubeAccess(server: TestApiServer, nodeNames: () => readonly string[]): RegistryAccess {
  const nodes = async () => {
    const found = await Promise.all([...nodeNames(), CLAIM_NAME].map((name) => server.node(name)));
    return found.filter((node) => node !== undefined);
  };
  const access: RegistryAccess = {
    leases: async () => (await nodes()).flatMap(leaseOfNode).sort(byKey),
    changes: async () => {
      if (server instanceof ApiServerDouble) {
        return server.requests.filter((request) => request.startsWith("PATCH /api/v1/nodes/")).length;
      }
      return Math.max(...(await nodes()).map(({ metadata }) => Number((metadata as Json).resourceVersion)));
    },
    put: async ({ address, mac, subnet: wanted }) => {
      const subnet = wanted ?? freeOf(await access.leases());
      await server.createNode(memberNode(CLAIM_NAME, `${subnet}/24`, address, mac));
      return CLAIM_NAME;
    },
    remove: (key) => server.deleteNode(key),
  };
  return access;
}

function leaseOfNode({ metadata, spec }: Json): HeldLease[] {
  const { name, annotations } = metadata as { name: string; annotations?: Record<string, string> };
  const { podCIDRs = [] } = spec as { podCIDRs?: string[] };
  if (annotations?.[KEYS.managed] !== "true") return [];
  const addresses = podCIDRs.map((subnet) => annotations[KEYS.address[subnet.includes(":") ? 10 : 2]] ?? "");
  const data = annotations[KEYS.data[2]] ?? annotations[KEYS.data[10]];
  return [{
    key: name,
    subnets: podCIDRs,
    addresses,
    mac: data === undefined ? undefined : macIn(JSON.parse(data)),
    text: JSON.stringify(annotations),
  }];
}

function macIn(data: unknown): string | undefined {
  return isJson(data) && typeof data.VtepMAC === "string" ? data.VtepMAC : undefined;
}

function byKey(a: HeldLease, b: HeldLease): number {
  return a.key < b.key ? -1 : 1;
}

/** SQLite's large integers as JSON has them. */
function plain(_name: string, value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}
