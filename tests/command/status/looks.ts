import { statusSchema } from "../../../src/command/status/answer.ts";
import type { Look } from "../../../src/command/status/look.ts";
import { statusReport } from "../../../src/status/status_report.ts";
import { READY, standing } from "../../status/facts.ts";

/** When all looks are made. */
export const AT = new Date("2026-01-01T00:00:00Z");

/** A look at a host whose agent says so, or at one without an agent. */
export function lookOf(
  said: { readonly ready: boolean; readonly conditions?: Parameters<typeof standing> } | undefined,
): Look {
  if (said === undefined) {
    return {
      at: AT,
      agent: undefined,
      peers: undefined,
      peersFault: undefined,
      silence: undefined,
      local: {
        at: AT,
        subnetFilePath: "/run/flannel/subnet.env",
        env: undefined,
        envFault: "there is none",
        said: undefined,
        isLockHeld: false,
        holder: undefined,
        kernel: undefined,
        kernelFault: "it is not asked",
        faults: [],
      },
    };
  }
  const { ready, conditions = [] } = said;
  const report = JSON.parse(
    JSON.stringify(statusReport({ ...READY, conditions: () => standing(...conditions) })),
  );
  const raw = { ...report, ready };
  return {
    at: AT,
    agent: { raw, status: statusSchema.parse(raw) },
    peers: undefined,
    peersFault: undefined,
    silence: undefined,
    local: undefined,
  };
}
