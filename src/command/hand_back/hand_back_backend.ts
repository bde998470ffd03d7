import { foldKeys, isObject } from "../../config/fold_keys.ts";
import type { DoctorPlace } from "../doctor/place.ts";

/** Types of backends that flanneld ends at, and what to write instead. */
const UNKNOWN_TYPES: Readonly<Record<string, string>> = {
  "auto": 'write vxlan with "DirectRouting": true, which is the same',
  "aws-vpc": "flannel has none since 0.20; write host-gw or vxlan",
};

/** What of the network configuration flanneld will not start with, as phrases; nothing if that can't be read. */
export async function unknownToFlanneld({ config }: Pick<DoctorPlace, "config">): Promise<string[]> {
  let type: unknown;
  try {
    const { Backend } = foldKeys(JSON.parse((await config).text), ["Backend"]).members;
    type = isObject(Backend) ? foldKeys(Backend, ["Type"]).members.Type : undefined;
  } catch {
    return [];
  }
  const name = typeof type === "string" ? type.toLowerCase() : "";
  if (!Object.hasOwn(UNKNOWN_TYPES, name)) return [];
  return [
    `Type ${name} in the network configuration, which flanneld does not know and ends at: ${
      UNKNOWN_TYPES[name]
    }, before it starts`,
  ];
}
