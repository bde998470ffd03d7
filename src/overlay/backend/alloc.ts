import { type Backend, type BackendContext, emptyTables, networksOf } from "./backend.ts";
import { familyOf } from "../../model/address.ts";
import { plainMtuBytes, type PlainOptions } from "./host_gw.ts";

/** A subnet for this host and nothing else: another program connects the hosts. Touches no link and no route. */
export function allocBackend(options: PlainOptions, context: BackendContext): Backend {
  return {
    type: "alloc",
    carriage: "none",
    // As flannel, which writes neither type nor data.
    leaseType: "",
    overlayMtuBytes: ({ addresses }) => plainMtuBytes(options, addresses),
    advertise: ({ addresses }) =>
      addresses.map(({ advertised }) => ({ underlayAddress: advertised, backendData: null })),
    // That routes to the cluster network are ours tells those that another backend has left from others'.
    desire: (_, own) => ({
      state: {
        links: [],
        addresses: [],
        networks: networksOf(context, own.parts.map(({ subnet }) => familyOf(subnet.address))),
        ...emptyTables(0),
      },
      faults: [],
      reached: new Map(),
    }),
  };
}
