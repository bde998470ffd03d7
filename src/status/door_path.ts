import { besideSubnetFile } from "../config/beside_subnet_file.ts";

/** Where an agent answers the commands of this host: beside its subnet file. */
export function doorPath(subnetFilePath: string): string {
  return besideSubnetFile(subnetFilePath, "loden.sock");
}
