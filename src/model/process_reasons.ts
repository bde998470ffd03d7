import type { ReasonWords } from "./reason.ts";

/** What is the matter with the process of the agent; nothing of it keeps pods from being started. */
export const DEGRADED_OF_PROCESS = {
  "loop-failed": {
    cause: "A loop of the agent ended with an error that it should have told by itself.",
    remedy: "Report it with the log; the loop is started again, after 10 s at the latest.",
  },
  "fault-uncaught": {
    cause:
      "A part of the agent ended with an error that no other part expected: a fault of the agent itself.",
    remedy: "Report it with the log; restart the agent, since that part may not run any more.",
  },
  "log-lost": {
    cause: "Lines of the log are lost: they are not read, or can't be written.",
    remedy:
      "Have what reads the log go on, or give its file room; how many are lost the log says itself, and loden_log_lost_lines_total.",
  },
  "health-port-taken": {
    cause: "The health server can't listen where it is told to.",
    remedy: "End what listens there, or give -healthz-ip and -healthz-port another place.",
  },
  "health-not-served": {
    cause: "The health server listens, and the system lets it take no connection.",
    remedy:
      "Mend what the sentence gives as the reason; where files are too many, allow the process more of them.",
  },
  "door-closed": {
    cause: "The commands of this host, as `loden status`, can't ask the agent at its socket.",
    remedy:
      "Mend what the sentence gives as the reason; the agent tries again by itself, and works without it.",
  },
  "state-not-written": {
    cause: "A file that the agent writes for its next start, or for the CNI plugin, can't be written.",
    remedy:
      "Make the file that the sentence names writable, or its disk less full; the agent tries again by itself.",
  },
} satisfies Record<string, ReasonWords>;
