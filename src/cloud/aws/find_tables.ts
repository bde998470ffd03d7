import { type CallOptions, type CloudTable, describeRouteTables } from "./ec2_calls.ts";
import type { Ec2Client } from "./ec2_client.ts";
import { filter } from "./ec2_form.ts";
import type { AttachedInterface } from "./metadata.ts";

/**
 * The route tables that lead packets to the pods of this host: the named ones, or the one that the interface's subnet
 * has, or else the main one of the VPC, as EC2 itself chooses.
 *
 * @throws {Error} If one is not there, as a sentence.
 */
export async function findTables(
  client: Ec2Client,
  { ids, eni }: { readonly ids: readonly string[]; readonly eni: AttachedInterface },
  options: CallOptions,
): Promise<readonly CloudTable[]> {
  if (ids.length > 0) {
    const tables = await describeRouteTables(client, { ids }, options);
    const lost = ids.filter((id) => !tables.some((table) => table.id === id));
    if (lost.length > 0) throw new Error(`there is no route table ${lost.join(", ")} in this region`);
    return tables;
  }
  const own = [filter("association.subnet-id", eni.subnetId)];
  const ofSubnet = await describeRouteTables(client, { filters: own }, options);
  if (ofSubnet.length > 0) return ofSubnet;
  const main = [filter("association.main", "true"), filter("vpc-id", eni.vpcId)];
  const ofVpc = await describeRouteTables(client, { filters: main }, options);
  if (ofVpc.length > 0) return ofVpc.slice(0, 1);
  throw new Error(
    `neither the subnet ${eni.subnetId} nor ${eni.vpcId} has a route table; name one in RouteTableID`,
  );
}
