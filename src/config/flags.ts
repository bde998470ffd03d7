import { type Flag, FLAG_GROUPS } from "./flag.ts";
import { LATER_FLAGS } from "./later_flags.ts";
import { REGISTRY_FLAGS } from "./registry_flags.ts";

const [UNDERLAY, OVERLAY, FILES, STATUS] = FLAG_GROUPS;

/** The flags that this version heeds. */
const FLAGS_HERE = [
  {
    name: "iface",
    kind: "list",
    group: UNDERLAY,
    default: [],
    value: "NAME|ADDRESS",
    help: "a link; repeat it for more, the first that fits is taken",
  },
  {
    name: "iface-regex",
    kind: "list",
    group: UNDERLAY,
    default: [],
    value: "REGEX",
    help: "matched with addresses, then link names, after every -iface",
  },
  {
    name: "iface-can-reach",
    kind: "string",
    group: UNDERLAY,
    default: "",
    value: "ADDRESS",
    help: "the link that a route to this address leaves by, tried last",
  },
  {
    name: "public-ip",
    kind: "string",
    group: UNDERLAY,
    default: "",
    value: "IPV4",
    help: "the address that other hosts send to",
  },
  {
    name: "public-ipv6",
    kind: "string",
    group: UNDERLAY,
    default: "",
    value: "IPV6",
    help: "the same for IPv6",
  },
  {
    name: "backend",
    kind: "string",
    group: OVERLAY,
    value: "TYPE",
    isNew: true,
    help: "Backend.Type; another than in the file discards the file's Backend",
  },
  {
    name: "backend-config",
    kind: "string",
    group: OVERLAY,
    value: "JSON",
    isNew: true,
    help: "keys that replace those of Backend",
  },
  {
    name: "mtu",
    kind: "integer",
    group: OVERLAY,
    default: 0,
    value: "BYTES",
    range: [0, 65535],
    isNew: true,
    help: "Backend.MTU, of the outer packets; 0 leaves it to the file",
  },
  {
    name: "vxlan-vni",
    kind: "integer",
    group: OVERLAY,
    value: "N",
    range: [1, 16777215],
    isNew: true,
    help: "Backend.VNI",
  },
  {
    name: "vxlan-port",
    kind: "integer",
    group: OVERLAY,
    value: "PORT",
    range: [0, 65535],
    isNew: true,
    help: "Backend.Port; 0 means 8472",
  },
  { name: "vxlan-gbp", kind: "boolean", group: OVERLAY, isNew: true, help: "Backend.GBP" },
  { name: "vxlan-learning", kind: "boolean", group: OVERLAY, isNew: true, help: "Backend.Learning" },
  {
    name: "vxlan-direct-routing",
    kind: "boolean",
    group: OVERLAY,
    isNew: true,
    help: "Backend.DirectRouting",
  },
  {
    name: "ip-masq",
    kind: "boolean",
    group: OVERLAY,
    default: false,
    help: "written to the subnet file; the rules come in a later version",
    later: "is only written to the subnet file: masquerade rules come in a later version",
  },
  {
    name: "net-config-path",
    kind: "string",
    group: FILES,
    default: "/etc/kube-flannel/net-conf.json",
    value: "FILE",
    isRequired: true,
    help: "the cluster's network configuration",
  },
  {
    name: "subnet-file",
    kind: "string",
    group: FILES,
    default: "/run/flannel/subnet.env",
    value: "FILE",
    isRequired: true,
    help: "where this host's subnet is written",
  },
  {
    name: "subnet-lease-renew-margin",
    kind: "integer",
    group: FILES,
    default: 60,
    value: "MINUTES",
    range: [1, 1439],
    help: "how long before its end a lease is renewed",
  },
  {
    name: "resync",
    kind: "integer",
    group: STATUS,
    default: 30,
    value: "SECONDS",
    range: [1, 3600],
    isNew: true,
    help: "time between whole passes when nothing happens",
  },
  {
    name: "healthz-ip",
    kind: "string",
    group: STATUS,
    default: "0.0.0.0",
    value: "ADDRESS",
    help: "where /healthz and /readyz are served",
  },
  {
    name: "healthz-port",
    kind: "integer",
    group: STATUS,
    default: 0,
    value: "PORT",
    range: [Number.MIN_SAFE_INTEGER, 65535],
    help: "0 serves nothing",
  },
  {
    name: "log-file",
    kind: "string",
    group: STATUS,
    default: "",
    value: "FILE",
    isNew: true,
    help: "where log lines are appended, in place of standard error",
  },
  {
    name: "log-format",
    kind: "string",
    group: STATUS,
    default: "auto",
    value: "FORMAT",
    words: ["auto", "json", "text"],
    isNew: true,
    help: "json, text, or auto: text on a terminal",
  },
  {
    name: "v",
    kind: "integer",
    group: STATUS,
    default: 0,
    value: "LEVEL",
    help: "1 and more log every pass",
  },
  { name: "version", kind: "boolean", group: STATUS, default: false, help: "print the version and exit" },
] as const satisfies readonly Flag[];

/**
 * Every flag there is: all of flannel's, and Loden's own.
 *
 * Source: flannel Documentation/configuration.md, `flanneld -help`.
 */
export const FLAGS = [
  ...FLAGS_HERE,
  ...REGISTRY_FLAGS,
  ...LATER_FLAGS,
] as const satisfies readonly Flag[];

/** The names of all flags of one kind. */
export type FlagName<K extends Flag["kind"] = Flag["kind"]> = Extract<
  (typeof FLAGS)[number],
  { kind: K }
>["name"];
