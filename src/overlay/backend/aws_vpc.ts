import type { AwsVpcConfig } from "../../config/aws_schema.ts";
import { type Family, familyOf } from "../../model/address.ts";
import { allocBackend } from "./alloc.ts";
import { type Backend, type BackendContext, countIn, partOf } from "./backend.ts";

/** The router of a VPC connects the hosts: each has a route in its tables. This host's kernel needs none. */
export function awsVpcBackend(config: AwsVpcConfig, context: BackendContext): Backend {
  const alloc = allocBackend(config, context);
  return {
    ...alloc,
    type: "aws-vpc",
    carriage: "router",
    desire(underlay, own, remote) {
      const { state } = alloc.desire(underlay, own, remote);
      const families = new Set(underlay.addresses.map(({ family }) => family));
      const parts = own.parts.filter(({ subnet }) => families.has(familyOf(subnet.address)));
      // As flannel's, its lease has no type: who has one is of another backend.
      const peers = remote.filter(({ backendType }) => backendType === alloc.leaseType);
      const reached = new Map<Family, number>();
      for (const { subnet } of parts) {
        const family = familyOf(subnet.address);
        for (const lease of peers) if (partOf(lease, family) !== undefined) countIn(reached, family);
      }
      return {
        state: {
          ...state,
          cloud: {
            own: parts.map(({ subnet }) => subnet),
            peers: peers.flatMap((lease) => lease.parts.map(({ subnet }) => subnet)),
            networks: parts.flatMap(({ subnet }) =>
              context.networks.filter(({ address }) => familyOf(address) === familyOf(subnet.address))
                .map((network) => ({ network, subnetLength: subnet.length }))
            ),
          },
        },
        faults: [],
        reached,
      };
    },
  };
}
