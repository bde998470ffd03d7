import { array, boolean, enum as oneOf, nullable, number, object, string } from "zod/mini";

/** What an agent answers to `/lease-of`. */
export const leaseOfSchema = object({
  known: boolean(),
  lease: nullable(object({
    host: string(),
    isOwn: boolean(),
    what: oneOf(["subnet", "underlay"]),
    subnet: string(),
    underlayAddress: string(),
    backendType: string(),
    mac: nullable(string()),
    leftOut: nullable(string()),
    probes: nullable(array(object({
      network: string(),
      target: string(),
      packetBytes: number(),
      roundTripMs: nullable(number()),
      hears: nullable(object({ underlay: boolean(), overlay: boolean() })),
    }))),
  })),
});
