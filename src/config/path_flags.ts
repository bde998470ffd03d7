import { type Flag, FLAG_GROUPS } from "./flag.ts";

const group = FLAG_GROUPS[4];

/** The flags about probes of the paths to other hosts. */
export const PATH_FLAGS = [
  {
    name: "path-probes",
    kind: "string",
    group,
    default: "auto",
    value: "WORD",
    words: ["auto", "on", "off"],
    isNew: true,
    help: "probe the paths to peers: on, off; auto asks Loden's alone",
  },
  {
    name: "path-probe-port",
    kind: "integer",
    group,
    default: 8475,
    value: "PORT",
    range: [1024, 65535],
    isNew: true,
    help: "UDP port at which this host answers probes",
  },
  {
    name: "path-probe-budget",
    kind: "integer",
    group,
    default: 3,
    value: "N",
    range: [1, 1000],
    isNew: true,
    help: "probes a second that this host sends at most while all is well",
  },
  {
    name: "path-mtu",
    kind: "boolean",
    group,
    default: false,
    isNew: true,
    help: "lower the MTU of the route to a host behind a narrow path",
  },
] as const satisfies readonly Flag[];
