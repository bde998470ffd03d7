import { waitUntil } from "../../../src/lab/wait.ts";
import { annotationKeys } from "../../../src/registry/kube/kube_node.ts";
import { KubeRegistry, type KubeRegistryOptions } from "../../../src/registry/kube/kube.ts";
import { LeaseSet } from "../../../src/registry/lease_set.ts";
import type { LeaseRequest } from "../../../src/registry/registry.ts";
import type { Log } from "../../../src/log/log.ts";
import { formatAddress, formatPrefix, parseAddress, parsePrefix } from "../../../src/model/address.ts";
import type { Lease, LeaseUpdate } from "../../../src/model/lease.ts";
import type { Json } from "../../double/api_objects.ts";
import { ApiServerDouble, FLANNEL_RULES, type TestApiServer } from "../../double/api_server.ts";
import { KubeApiServer } from "../../double/kube_apiserver.ts";

export const signal = new AbortController().signal;
export const PREFIX = "flannel.alpha.coreos.com/";
export const KEYS = annotationKeys(PREFIX);
const DEADLINE_MS = 60_000;
/** Whether the real server is left out, for a fast run. */
const IS_FAST = Deno.env.get("LODEN_SERVERS") === "double";

/**
 * Defines one test for each server: the double inside of this process, and the real kube-apiserver. What they do
 * differently makes one of the two fail.
 */
export function onBothServers(name: string, test: (server: TestApiServer) => Promise<void>): void {
  onTheDouble(name, test);
  onTheRealServer(name, test);
}

/** Defines a test of what the double can't do, as TLS. */
export function onTheRealServer(name: string, test: (server: KubeApiServer) => Promise<void>): void {
  if (IS_FAST) return;
  // The server outlives each test, and some end and start it.
  const sanitizers = { sanitizeOps: false, sanitizeResources: false };
  Deno.test({
    name: `${name} (kube-apiserver)`,
    ...sanitizers,
    fn: async () => {
      const server = real!;
      try {
        await test(server);
      } finally {
        await tidy(server);
      }
    },
  });
}

/** Defines a test of what a real server does not do when it is asked to. */
export function onTheDouble(name: string, test: (server: ApiServerDouble) => Promise<void>): void {
  Deno.test({
    name: `${name} (double)`,
    // The real server of the file may say something meanwhile.
    sanitizeOps: false,
    fn: async () => {
      await using server = await ApiServerDouble.open();
      await test(server);
    },
  });
}

let real: KubeApiServer | undefined;

/** Starts the real server before the tests of a file, and ends it behind them. */
export function useRealServer(): void {
  if (IS_FAST) return;
  Deno.test.beforeAll(async () => {
    real = await KubeApiServer.open();
  });
  Deno.test.afterAll(async () => {
    await real?.[Symbol.asyncDispose]();
  });
}

async function tidy(server: KubeApiServer): Promise<void> {
  await server.start();
  await server.permitAgent(FLANNEL_RULES);
  using client = Deno.createHttpClient({ caCerts: [await Deno.readTextFile(server.caFile)] });
  const headers = { authorization: `Bearer ${server.tokens.admin}` };
  const response = await fetch(`${server.url}/api/v1/nodes`, { method: "DELETE", client, headers });
  await response.body?.cancel();
}

/** A node that the cluster gave a subnet, and no agent manages yet. */
export function bareNode(name: string, podCIDRs: readonly string[] = []): Json {
  const spec = podCIDRs.length === 0 ? {} : { podCIDR: podCIDRs[0], podCIDRs };
  return { metadata: { name, labels: { "kubernetes.io/hostname": name } }, spec };
}

/** The annotations of a member at `address`. */
export function memberAnnotations(address: string, mac = "0e:00:00:00:00:01"): Record<string, string> {
  return {
    [KEYS.managed]: "true",
    [KEYS.backendType]: "vxlan",
    [KEYS.address[2]]: address,
    [KEYS.data[2]]: `{"VNI":1,"VtepMAC":"${mac}"}`,
  };
}

/** A node of a host that is in the overlay. */
export function memberNode(name: string, podCIDR: string, address: string, mac?: string): Json {
  const node = bareNode(name, [podCIDR]);
  return { ...node, metadata: { ...node.metadata as Json, annotations: memberAnnotations(address, mac) } };
}

/** What a host at these addresses asks for. */
export function request(...addresses: readonly string[]): LeaseRequest {
  return {
    backendType: "vxlan",
    parts: addresses.map((address) => ({
      underlayAddress: parseAddress(address),
      backendData: { VNI: 1, VtepMAC: "0e:00:00:00:00:01" },
    })),
    origin: {},
  };
}

/** One host's registry on a server. */
export class KubeHost implements AsyncDisposable {
  readonly registry: KubeRegistry;
  readonly leases = new LeaseSet();
  readonly updates: LeaseUpdate[] = [];
  readonly said: { level: string; event: string; reason: unknown }[] = [];
  readonly log: Log;
  ownChanges = 0;
  readonly #controller = new AbortController();
  #following = Promise.resolve();

  constructor(
    server: TestApiServer,
    options: Partial<KubeRegistryOptions> & { readonly token?: string; readonly tokenFile?: string } = {},
  ) {
    const log: Log = {
      write: (level, event, fields) => void this.said.push({ level, event, reason: fields?.reason }),
    };
    this.log = log;
    const { token, tokenFile, ...others } = options;
    this.registry = new KubeRegistry({
      readTextFile: (path) => Deno.readTextFile(path),
      now: () => Date.now(),
      elapsedMs: () => performance.now(),
      random: Math.random,
      log,
      ownNodeChanged: () => this.ownChanges++,
    }, {
      access: {
        url: server.url,
        tls: server.caFile === undefined ? {} : { files: { caFile: server.caFile } },
        ...tokenFile === undefined
          ? { token: token ?? server.tokens.agent }
          : { tokenFile, ...token !== undefined && { token } },
        hint: "look at the test",
      },
      identity: { nodeName: "n1" },
      annotationPrefix: PREFIX,
      networks: [parsePrefix("10.244.0.0/16")],
      ...others,
    });
  }

  /** Leases that were told one by one. */
  get heard(): readonly string[] {
    return this.updates.flatMap((update) => update.kind === "held" ? [describe(update.lease)] : []);
  }

  /** Follows all leases. */
  follow(): void {
    const run = async () => {
      for await (const update of this.registry.watch(this.#controller)) {
        this.updates.push(update);
        this.leases.apply(update);
      }
    };
    this.#following = run().catch((error) =>
      void this.said.push({ level: "error", event: "watch ended", reason: String(error) })
    );
  }

  /** The leases that a list has. */
  async snapshot(): Promise<string[]> {
    for await (const update of this.registry.watch(this.#controller)) {
      if (update.kind === "snapshot") return update.leases.map(describe);
    }
    throw new Error("Cannot list the leases: the watch has ended");
  }

  /** Waits until the leases are these. */
  async sees(...expected: readonly string[]): Promise<void> {
    const seen = () => [...this.leases.all ?? []].map(describe).sort();
    await waitUntil(
      `see ${expected.join(" and ")}`,
      () => JSON.stringify(seen()) === JSON.stringify([...expected].sort()) || undefined,
      { deadlineMs: DEADLINE_MS, signal },
      () => `${seen().join(" and ")}; ${JSON.stringify([this.said, this.registry.faults])}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort();
    await this.#following;
    this.registry[Symbol.dispose]();
  }
}

/** A lease in one line: `n2 10.244.2.0/24 at 192.0.2.2 by 0e:00:00:00:00:01`. */
export function describe({ host, parts }: Lease): string {
  const places = parts.map(({ subnet, underlayAddress, backendData }) =>
    `${formatPrefix(subnet)} at ${formatAddress(underlayAddress)} by ${
      (backendData as { VtepMAC?: string } | null)?.VtepMAC
    }`
  );
  return [host, ...places].join(" ");
}

/** Waits for a condition. */
export async function until<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
  state?: () => string,
): Promise<T> {
  return await waitUntil(what, look, { deadlineMs: DEADLINE_MS, signal }, state);
}
