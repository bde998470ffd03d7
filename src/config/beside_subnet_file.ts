import { basename, dirname, join } from "node:path";

/** What the subnet file is called unless a flag says otherwise. */
const USUAL_NAME = "subnet.env";

/**
 * Where a file of the agent is: beside its subnet file. Each subnet file has its own, as each stands for one agent:
 * those of another name than the usual one begin with it, so that two agents can share a folder.
 */
export function besideSubnetFile(subnetFilePath: string, name: string): string {
  const file = basename(subnetFilePath);
  return join(dirname(subnetFilePath), file === USUAL_NAME ? name : `${file}.${name}`);
}
