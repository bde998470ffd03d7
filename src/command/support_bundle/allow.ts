import { BACKEND_KEYS } from "../../config/backend_schema.ts";
import { NETWORK_KEYS } from "../../config/network_schema.ts";
import { isOurConflist } from "../../pods/conflist.ts";

/** What stands for what nobody has looked at. */
const LEFT_OUT = "[left out]";

/** Keys of a conflist that flannel, Loden and the reference plugins have, and that are no secret. */
const CONFLIST_KEYS: ReadonlySet<string> = new Set([
  ...["name", "cniVersion", "plugins", "type", "renderedBy", "disableCheck", "capabilities", "delegate"],
  ...[
    "bridge",
    "isGateway",
    "isDefaultGateway",
    "forceAddress",
    "hairpinMode",
    "ipMasq",
    "mtu",
    "promiscMode",
    "vlan",
  ],
  ...[
    "ipam",
    "subnet",
    "ranges",
    "rangeStart",
    "rangeEnd",
    "gateway",
    "routes",
    "dst",
    "gw",
    "dataDir",
    "subnetFile",
  ],
  ...[
    "portMappings",
    "bandwidth",
    "snat",
    "masqAll",
    "ingressRate",
    "egressRate",
    "ingressBurst",
    "egressBurst",
  ],
  ...["ipMasqBackend", "backend", "sysctl", "dns", "nameservers", "domain", "search", "options"],
]);
const NET_CONF_KEYS: ReadonlySet<string> = new Set([
  ...NETWORK_KEYS,
  ...Object.values(BACKEND_KEYS).flat(),
  "Type",
  "EnableNFTables",
]);
/** Each key of a subnet file with what it says: networks, a number, yes or no, the name of a type. */
const SUBNET_LINE = new RegExp(
  `^(?:export\\s+)?(?:${
    [
      "FLANNEL_(?:IPV6_)?(?:NETWORK|SUBNET)\\s*[=:]\\s*[\"']?[0-9a-f.:/,]*",
      "FLANNEL_MTU\\s*[=:]\\s*[\"']?\\d{0,10}",
      "FLANNEL_IPMASQ\\s*[=:]\\s*[\"']?(?:true|false)?",
      `FLANNEL_BACKEND\\s*[=:]\\s*["']?(?:${Object.keys(BACKEND_KEYS).join("|")})?`,
      "FLANNEL_DELEGATE\\s*[=:]\\s*[\"']?(?:bridge|ptp|macvlan|ipvlan|cilium-cni)?",
    ].join("|")
  })["']?\\s*$`,
  "i",
);

/** A conflist with the keys that are known; of another tool's only its name and the types of its plugins. */
export function allowedConflist(text: string): string {
  const value = JSON.parse(text);
  if (isOurConflist(text)) return print(filtered(value, CONFLIST_KEYS));
  const plugins: unknown[] = Array.isArray(value?.plugins) ? value.plugins : [value];
  const types = plugins.map((plugin) => (plugin as { readonly type?: unknown } | null)?.type);
  return print({ name: word(value?.name), plugins: types.map((type) => ({ type: word(type) })) });
}

/** A network configuration with the keys that are known. */
export function allowedNetConf(text: string): string {
  return print(filtered(JSON.parse(text), NET_CONF_KEYS));
}

/** Of a subnet file the lines that are one's. */
export function allowedSubnetFile(text: string): string {
  return text.split("\n").map((line) => line === "" || SUBNET_LINE.test(line) ? line : LEFT_OUT).join("\n");
}

function word(value: unknown): string {
  return typeof value === "string" && /^[\w.-]{1,40}$/.test(value) ? value : LEFT_OUT;
}

/** A value whose members with other keys are left out, at any depth. */
function filtered(value: unknown, keys: ReadonlySet<string>): unknown {
  if (Array.isArray(value)) return value.map((one) => filtered(one, keys));
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value);
  // A name may be a secret, too.
  const left = members.filter(([key]) => !keys.has(key)).length;
  return {
    ...Object.fromEntries(
      members.filter(([key]) => keys.has(key)).map(([key, one]) => [key, filtered(one, keys)]),
    ),
    ...left > 0 && { [LEFT_OUT]: left },
  };
}

function print(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
