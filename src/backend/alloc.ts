import type { Backend } from "./backend.ts";
import { emptyTables } from "./backend.ts";
import { plainMtuBytes, type PlainOptions } from "./host_gw.ts";

/** A subnet for this host and nothing else: somebody else connects the hosts. Touches no link and no route. */
export function allocBackend(options: PlainOptions): Backend {
  return {
    type: "alloc",
    // As flannel, which writes neither type nor data.
    leaseType: "",
    overlayMtuBytes: ({ addresses }) => plainMtuBytes(options, addresses),
    advertise: ({ addresses }) =>
      addresses.map(({ advertised }) => ({ underlayAddress: advertised, backendData: null })),
    desire: () => ({ state: { links: [], addresses: [], networks: [], ...emptyTables(0) }, faults: [] }),
  };
}
