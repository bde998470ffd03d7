import { parseAddress, parsePrefix } from "../../../src/model/address.ts";
import type { Lease } from "../../../src/model/lease.ts";
import type { StateTables } from "../../../src/model/state.ts";
import type { Underlay, UnderlayAddress } from "../../../src/model/underlay.ts";
import { describeRow } from "../../../src/reconcile/apply.ts";

/** The cluster networks of every backend under test. */
export const NETWORKS = [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/56")];

/** An address of this host in the underlay, on a segment of its own length. */
export function underlayAddress(text: string, overrides: Partial<UnderlayAddress> = {}): UnderlayAddress {
  const address = parseAddress(text);
  const family = typeof address === "number" ? 2 : 10;
  const segments = [parsePrefix(family === 2 ? `${text}/24` : `${text}/64`)];
  return { family, address, advertised: address, mtuBytes: 1500, segments, ...overrides };
}

/** The underlay link `eth0` with these addresses. */
export function underlay(...addresses: UnderlayAddress[]): Underlay {
  return { linkIndex: 2, linkName: "eth0", mtuBytes: 1500, addresses };
}

/** A lease of one part a family. */
export function leaseOf(
  backendType: string,
  host: string,
  ...parts: [subnet: string, underlay: string, data?: unknown][]
): Lease {
  return {
    host,
    backendType,
    parts: parts.map(([subnet, address, backendData = null]) => ({
      subnet: parsePrefix(subnet),
      underlayAddress: parseAddress(address),
      backendData,
    })),
  };
}

/** Every row of the tables as a line, in the order of the tables. */
export function lines(
  state: StateTables & { readonly links: readonly { readonly name: string }[] },
): string[] {
  return (["neighbours", "fdb", "routes"] as const).flatMap((name) => {
    const table = state[name];
    return Array.from(
      { length: table.count },
      (_, row) => describeRow(name, table.words, row * table.layout.words, state.links as never),
    );
  });
}
