import type { ReasonWords } from "./reason.ts";

/** Why no packet of the overlay gets into this host although all that is ours stands. */
export const BLOCKING_OF_TRUTH = {
  "overlay-port-dropped": {
    cause: "A rule of the packet filter drops all that other hosts send to this one in VXLAN.",
    remedy: "Change the rule or chain that the sentence names, so that it accepts the overlay's UDP port.",
  },
  "forwarding-dropped": {
    cause:
      "A rule of the packet filter refuses all that pods of this host send to those of other hosts, or all that comes for them.",
    remedy: "Run the command of the sentence, and end what adds the rule that it names.",
  },
} satisfies Record<string, ReasonWords>;

/** Why packets don't get to some of the others although all that is ours stands. */
export const DEGRADED_OF_TRUTH = {
  "peers-misrouted": {
    cause:
      "Packets for some other hosts' pods don't take Loden's routes, or can't leave: a rule, a route, a table or a link is before them.",
    remedy: "Run the command of the sentence, and end what adds the rule or route that it names.",
  },
  "peers-filtered": {
    cause:
      "A rule of the packet filter refuses all packets between pods of this host and those of some others.",
    remedy:
      "Run the command of the sentence, and end what adds the rule that it names; keep it if those pods are to be apart.",
  },
} satisfies Record<string, ReasonWords>;
