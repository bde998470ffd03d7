/** What flannel, at any version, or Loden calls a backend; and whether this version has it. */
const BACKENDS = {
  "vxlan": "here",
  "auto": "here",
  "host-gw": "here",
  "alloc": "here",
  "wireguard": "later",
  "ipip": "later",
  "aws-vpc": "here",
  "extension": "later",
  "udp": "never",
  "ipsec": "never",
  "tencent-vpc": "never",
  "ali-vpc": "never",
  "gce": "never",
} as const satisfies Record<string, "here" | "later" | "never">;

type Known = keyof typeof BACKENDS;
/** What `net-conf.json` may name as the `Type` of its `Backend`. */
export type BackendType = { [Type in Known]: (typeof BACKENDS)[Type] extends "here" ? Type : never }[Known];

/** The backend types of this version. */
export const BACKEND_TYPES: readonly BackendType[] = (Object.keys(BACKENDS) as Known[])
  .filter((type): type is BackendType => BACKENDS[type] === "here");

/** Every backend that flannel or Loden ever had: what a subnet file can name. */
export const KNOWN_BACKEND_TYPES: readonly string[] = Object.keys(BACKENDS);

/** What is wrong with `type`, lower case already, as a sentence; absent where nothing is. */
export function backendTypeFault(type: string): string | undefined {
  const usable = BACKEND_TYPES.join(", ");
  switch (Object.hasOwn(BACKENDS, type) ? BACKENDS[type as Known] : undefined) {
    case "here":
      return undefined;
    case "later":
      return `backend ${JSON.stringify(type)} is not in this version; use ${usable}`;
    case "never":
      return `backend ${JSON.stringify(type)} of flannel is not in Loden; use ${usable}`;
    default:
      return `must be one of ${usable}, is ${JSON.stringify(type)}`;
  }
}
