import { type LocalRegistry, openLocalRegistry } from "../../../src/registry/local/local.ts";
import type { LocalRegistryOptions } from "../../../src/registry/local/local_options.ts";
import { writeLease } from "../../../src/registry/local/local_acquire.ts";
import { LocalFile } from "../../../src/registry/local/local_file.ts";
import type { FamilySubnets } from "../../../src/registry/choose_subnet.ts";
import type { LeaseRequest } from "../../../src/registry/registry.ts";
import type { LogFields } from "../../../src/log/log.ts";
import { type Address, familyOf, parseAddress, parsePrefix } from "../../../src/model/address.ts";
import type { Lease, LeaseUpdate } from "../../../src/model/lease.ts";

/** 10.244.0.0/16 in subnets of /24, as flannel's manifest has it. */
export const IPV4 = subnetsOf("10.244.0.0/16", 24, "10.244.1.0", "10.244.255.0");
export const IPV6 = subnetsOf("fd00:244::/48", 64, "fd00:244:0:1::", "fd00:244:0:ffff::");

/** The subnets of a network, as a configuration gives them. */
export function subnetsOf(network: string, subnetLength: number, min: string, max: string): FamilySubnets {
  const [subnetMin, subnetMax] = [parseAddress(min), parseAddress(max)];
  return { family: familyOf(subnetMin), network: parsePrefix(network), subnetLength, subnetMin, subnetMax };
}

/** What a vxlan host at these underlay addresses asks for. */
export function request(...underlayAddresses: string[]): LeaseRequest {
  const parts = underlayAddresses.map((address) => ({
    underlayAddress: parseAddress(address),
    // Each host has a MAC of its own.
    backendData: { VNI: 1, VtepMAC: `0e:2a:00:00:00:${hex(Number(parseAddress(address)) & 255)}` },
  }));
  return { backendType: "vxlan", parts, origin: {} };
}

/** A lease as a registry may say it. */
export function lease(
  host: string,
  subnet: string,
  underlayAddress: string,
  changes: Partial<Lease> = {},
): Lease {
  const part = {
    subnet: parsePrefix(subnet),
    underlayAddress: parseAddress(underlayAddress),
    backendData: { VNI: 1 },
  };
  return { host, backendType: "vxlan", parts: [part], ...changes };
}

/** A folder with one registry file, clocks that the test moves, and the events that were logged. */
export class LocalWorld implements AsyncDisposable {
  nowMs = Date.parse("2026-01-01T00:00:00Z");
  elapsedMs = 0;
  readonly events: { readonly event: string; readonly fields: LogFields }[] = [];
  readonly #stack = new AsyncDisposableStack();

  constructor(readonly folder: string = Deno.makeTempDirSync({ prefix: "loden-lease-" })) {
    this.#stack.defer(() => Deno.remove(folder, { recursive: true }));
  }

  get path(): string {
    return `${this.folder}/registry.db`;
  }

  /** Opens the registry as the agent of one host does. */
  open(host: string, options: Partial<LocalRegistryOptions> = {}): LocalRegistry {
    const log = {
      write: (_level: string, event: string, fields: LogFields = {}) =>
        void this.events.push({ event, fields }),
    };
    const deps = {
      now: () => this.nowMs,
      elapsedMs: () => this.elapsedMs,
      random: () => crypto.getRandomValues(new BigUint64Array(1))[0]!,
      log,
    };
    return this.#stack.use(
      openLocalRegistry(this.path, deps, { host, families: [IPV4], pollMs: 1, ...options }),
    );
  }

  /** Lets time pass on both clocks. */
  pass(ms: number): void {
    this.nowMs += ms;
    this.elapsedMs += ms;
  }

  /** Runs SQL behind the registry's back. */
  sql(text: string): void {
    using file = new LocalFile(this.path);
    file.transaction("IMMEDIATE", "run a test's SQL", () => file.rows("run a test's SQL", text));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** Writes `count` leases of /24 in 10.0.0.0/8 in one transaction. */
export function seedLeases(path: string, count: number, expiresAtMs: number): void {
  using file = new LocalFile(path);
  file.transaction("IMMEDIATE", "seed leases", () => {
    for (let n = 1; n <= count; n++) {
      const address = (0xc000_0000 + n) as Address;
      const subnet = { address: (0x0a00_0000 + n * 256) as Address, length: 24 };
      const backendData = { VNI: 1, VtepMAC: `0e:2a:00:00:${hex(n >> 8)}:${hex(n & 255)}` };
      const parts = [{ subnet, underlayAddress: address, backendData }];
      writeLease(file, { host: `host-${n}`, backendType: "vxlan", parts, expiresAtMs }, "seed leases");
    }
  });
}

function hex(octet: number): string {
  return octet.toString(16).padStart(2, "0");
}

/** The updates of a watch as they come; each wait has a deadline. */
export class Watcher implements AsyncDisposable {
  readonly #controller = new AbortController();
  readonly #updates: AsyncIterator<LeaseUpdate>;

  constructor(registry: LocalRegistry) {
    this.#updates = registry.watch({ signal: this.#controller.signal })[Symbol.asyncIterator]();
  }

  /** The next update. */
  async next(): Promise<LeaseUpdate> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error("Cannot see an update: none came in 10 s")), 10_000);
    try {
      const result = await Promise.race([this.#updates.next(), promise]);
      if (result.done) throw new Error("Cannot see an update: the watch has ended");
      return result.value;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The next update that `matches`. */
  async until(matches: (update: LeaseUpdate) => boolean): Promise<LeaseUpdate> {
    for (;;) {
      const update = await this.next();
      if (matches(update)) return update;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort();
    await this.#updates.next();
  }
}
