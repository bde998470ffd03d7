import type { ReasonWords } from "./reason.ts";

/** What probes may find of this host, so that it is not ready. */
export const BLOCKING_OF_PATH = {
  "overlay-cut-off": {
    cause:
      "Probes show that packets of the overlay get to no other host, or come from none, though they did before and the hosts are alive.",
    remedy:
      "See what drops the overlay's UDP port at this host: a firewall, a rule or a filter on the link; it is over by itself.",
  },
} satisfies Record<string, ReasonWords>;

/** What probes may find of the paths to other hosts. */
export const DEGRADED_OF_PATH = {
  "path-damaged": {
    cause: "What other hosts get of this one is not what was sent, or the other way round.",
    remedy:
      "Turn off checksum offload (-vxlan-tx-checksum=off) at the end that damages; auto does so by itself. Else look at cards and cables.",
  },
  "path-broken": {
    cause: "Packets of the overlay do not get to some hosts, or not back, though these are alive.",
    remedy:
      "Allow the overlay's UDP port between the hosts, in the direction that the sentence says; look at firewalls at both ends.",
  },
  "path-mtu-small": {
    cause: "Packets as large as pods may send are lost on the way to some hosts; smaller ones get through.",
    remedy:
      "Raise the MTU on the way, or set Backend.MTU to what the underlay carries by the sentence, on all hosts.",
  },
  "path-lossy": {
    cause: "Of the last probes to some hosts several were lost.",
    remedy: "Look at errors and drops of the links on the way, and at how busy the hosts are.",
  },
} satisfies Record<string, ReasonWords>;

/** What is only to be known of them. */
export const INFO_OF_PATH = {
  "peers-silent": {
    cause: "Hosts that hold a lease answer no probe at all: they may be down.",
    remedy: "Nothing, if they are; else see whether anything gets to them.",
  },
  "path-probes-refused": {
    cause:
      "A packet filter of this host refuses the probes that it sends over the overlay, so that its paths are not looked at.",
    remedy:
      "Accept UDP of the probes' port in the host's output chains, or turn probes off (-path-probes=off).",
  },
  "route-mtu-lowered": {
    cause: "With -path-mtu, routes to hosts behind narrow paths have the MTU that gets through.",
    remedy:
      "Nothing; it is over when packets of full size have got through for an hour, or at the agent's next start.",
  },
  "path-port-taken": {
    cause: "This host answers no probes, as their UDP port can't be had.",
    remedy: "End the program that has the port, or name another one with -path-probe-port.",
  },
} satisfies Record<string, ReasonWords>;
