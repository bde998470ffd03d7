import type { ReasonWords } from "./reason.ts";

/** Why no packet of the overlay gets into this host although all that is ours stands. */
export const BLOCKING_OF_TRUTH = {
  "overlay-port-dropped": {
    cause: "A rule of the packet filter drops all that other hosts send to this one in VXLAN.",
    remedy: "Change the rule or chain that the sentence names, so that it accepts the overlay's UDP port.",
  },
} satisfies Record<string, ReasonWords>;

/** Why packets don't get to some of the others although all that is ours stands. */
export const DEGRADED_OF_TRUTH = {
  "peers-misrouted": {
    cause:
      "Packets for some other hosts' pods don't take Loden's routes, or can't leave: a rule, a route, a table or a link is before them.",
    remedy: "Run the command of the sentence, and end what adds the rule or route that it names.",
  },
} satisfies Record<string, ReasonWords>;
