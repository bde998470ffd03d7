import { EtcdClient } from "../../../src/registry/etcd/etcd_client.ts";
import { EtcdRegistry, type EtcdRegistryOptions } from "../../../src/registry/etcd/etcd.ts";
import type { FamilySubnets } from "../../../src/registry/choose_subnet.ts";
import type { LeaseRequest } from "../../../src/registry/registry.ts";
import { waitUntil } from "../../../src/lab/wait.ts";
import type { Log } from "../../../src/log/log.ts";
import { type Address, AF_INET, AF_INET6, parseAddress, parsePrefix } from "../../../src/model/address.ts";
import type { LeaseUpdate } from "../../../src/model/lease.ts";
import type { EtcdServer } from "../../double/etcd.ts";

export const signal = new AbortController().signal;
export const IPV4: FamilySubnets = {
  family: AF_INET,
  network: parsePrefix("10.5.0.0/16"),
  subnetLength: 24,
  subnetMin: parseAddress("10.5.1.0"),
  subnetMax: parseAddress("10.5.255.0"),
};
export const IPV6: FamilySubnets = {
  family: AF_INET6,
  network: parsePrefix("fd00:5::/48"),
  subnetLength: 64,
  subnetMin: parseAddress("fd00:5:0:1::"),
  subnetMax: parseAddress("fd00:5:0:ffff::"),
};

/** What a test registry has said, besides its leases. */
export interface Said {
  readonly level: string;
  readonly event: string;
  readonly reason: unknown;
}

/** One host's registry on a server. */
export class EtcdHost implements Disposable {
  readonly client: EtcdClient;
  readonly registry: EtcdRegistry;
  readonly said: Said[] = [];
  readonly updates: LeaseUpdate[] = [];
  /** How often it was followed again. */
  returns = 0;
  readonly #controller = new AbortController();

  constructor(
    server: Pick<EtcdServer, "access">,
    prefix: string,
    options: Partial<EtcdRegistryOptions> & { readonly addresses: readonly string[] },
  ) {
    this.client = new EtcdClient(server.access, { readTextFile: (path) => Deno.readTextFile(path) });
    const log: Log = {
      write: (level, event, fields) => this.said.push({ level, event, reason: fields?.reason }),
    };
    const { addresses, ...others } = options;
    this.registry = new EtcdRegistry(this.client, {
      now: () => Date.now(),
      elapsedMs: () => performance.now(),
      random: () => crypto.getRandomValues(new BigUint64Array(1))[0]!,
      log,
      back: () => this.returns++,
    }, {
      prefix,
      families: addresses.length === 2 ? [IPV4, IPV6] : [IPV4],
      previousSubnets: [],
      ...others,
    });
  }

  /** Follows all leases; what the watch says gathers in `updates`. */
  follow(): void {
    const run = async () => {
      for await (const update of this.registry.watch(this.#controller)) this.updates.push(update);
    };
    run().catch((error) => this.said.push({ level: "error", event: "watch ended", reason: String(error) }));
  }

  /** Waits until the watch has said something that `isIt`. */
  async heard(what: string, isIt: (update: LeaseUpdate) => boolean): Promise<LeaseUpdate> {
    return await waitUntil(
      `hear ${what}`,
      () => this.updates.find(isIt),
      { deadlineMs: 20_000, signal },
      () =>
        JSON.stringify(
          [this.updates, this.said],
          (_, value) => typeof value === "bigint" ? String(value) : value,
        ),
    );
  }

  [Symbol.dispose](): void {
    this.#controller.abort();
    this.client[Symbol.dispose]();
  }
}

/** What a host at these addresses asks for. */
export function request(...addresses: readonly (string | Address)[]): LeaseRequest {
  return {
    backendType: "vxlan",
    parts: addresses.map((address) => ({
      underlayAddress: typeof address === "string" ? parseAddress(address) : address,
      backendData: { VNI: 1, VtepMAC: "aa:bb:cc:dd:ee:ff" },
    })),
    origin: {},
  };
}

/** flanneld's value for a host at `address`. */
export function flannelValue(address: string, mac = "0e:00:00:00:00:01"): string {
  return `{"PublicIP":"${address}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"${mac}"}}`;
}
