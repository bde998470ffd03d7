import { type Flag, FLAG_GROUPS } from "./flag.ts";

const [, OVERLAY, HOST] = FLAG_GROUPS;

/** The flags about what this host's kernel holds beside the overlay. */
export const HOST_FLAGS = [
  {
    name: "ip-masq",
    kind: "boolean",
    group: HOST,
    default: false,
    help: "masquerade what pods send to the outside",
  },
  {
    name: "ip-masq-fully-random-disable",
    kind: "boolean",
    group: HOST,
    default: false,
    help: "keep the source ports of masqueraded packets where they are free",
  },
  {
    name: "masquerade-exclude",
    kind: "list",
    group: HOST,
    value: "PREFIX",
    isNew: true,
    help: "MasqueradeExclude, not masqueraded; repeat it, or separate by commas",
  },
  {
    name: "iptables-forward-rules",
    kind: "boolean",
    group: HOST,
    default: true,
    help: "accept forwarded packets of pods",
  },
  {
    name: "iptables-resync",
    kind: "integer",
    group: HOST,
    default: 5,
    value: "SECONDS",
    help: "time between looks at the rules when nothing happens",
  },
  {
    name: "ip-blackhole-route",
    kind: "boolean",
    group: HOST,
    default: false,
    help: "drop packets to pods of this host that are gone",
  },
  {
    name: "take-foreign-routes",
    kind: "boolean",
    group: HOST,
    default: false,
    isNew: true,
    help: "replace others' routes to hosts' subnets, as flannel does",
  },
  {
    name: "unmanaged-files",
    kind: "boolean",
    group: HOST,
    default: true,
    isNew: true,
    help: "keep NetworkManager, systemd-networkd and dhcpcd off our links",
  },
  {
    name: "vxlan-tx-checksum",
    kind: "string",
    group: OVERLAY,
    default: "auto",
    value: "WORD",
    words: ["auto", "on", "off"],
    isNew: true,
    help: "checksum offload of VTEPs: on, off; auto is off where it fails",
  },
] as const satisfies readonly Flag[];
