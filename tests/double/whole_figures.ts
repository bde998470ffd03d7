import { PassTotals } from "../../src/agent/pass_totals.ts";
import { CountedLog } from "../../src/log/counted_log.ts";
import { SILENT } from "../../src/log/log.ts";
import type { StatusDeps } from "../../src/status/facts.ts";
import { OWN, pass, standing, UNDERLAY } from "../status/facts.ts";

/** What a host tells before its first pass, or after it, and while its registry is heard or not. */
export function figuresOf(
  lastPass: ReturnType<typeof pass> | undefined,
  reason: string | undefined,
): StatusDeps {
  return {
    conditions: () =>
      standing(
        ...lastPass === undefined ? [["pass-missing", "no pass was made yet"]] as const : [],
        ...reason === undefined ? [] : [["registry-not-followed", reason]] as const,
      ),
    lastPass: () => lastPass,
    underlay: () => lastPass && UNDERLAY,
    ownLease: () => lastPass && OWN,
    registry: () => ({ name: "etcd", heardAtMs: reason === undefined ? 1000 : undefined, reason }),
    totals: () => ({ passes: 7, planned: 40, failed: 2, lostLogLines: 7 }),
    host: () => undefined,
    rules: () =>
      lastPass === undefined
        ? undefined
        : { changes: 2, isMasquerading: true, effective: [], failures: ["no table"], warnings: [] },
    pools: () =>
      lastPass === undefined
        ? []
        : [{ network: "cbr0", subnet: "10.244.1.0/24", used: 3, size: 253, leftovers: 1 }],
  };
}

function whole(): StatusDeps {
  const log = new CountedLog(SILENT);
  for (const event of ["sysctl set", "rules changed", "rules changed"]) log.write("info", event);
  log.write("debug", "loop failed");
  const totals = new PassTotals({ lostLines: 7 }, log);
  totals.stepped("route", "done", 5);
  totals.stepped("route", "failed", 1);
  totals.staged("underlay", 2, false);
  totals.staged("underlay", 4, true);
  totals.netlinkErrors.add(19, 3);
  totals.count(pass({ planned: 6, failureCount: 1, durationMs: 4 }));
  const faults = [{ host: "192.0.2.9", reason: "no MAC" }];
  const reach = [{ family: 2, peers: 41, reached: 40 }] as const;
  return {
    ...figuresOf(pass({ remoteLeases: 41, faults, reach }), undefined),
    conditions: () => standing(["state-fought", "a"], ["state-fought", "b"]),
    registry: () => ({ name: "etcd", heardAtMs: 1000, reason: undefined, reconnects: 2 }),
    figures: () => totals,
    process: () => ({
      cpuSeconds: 1.5,
      residentBytes: 70e6,
      anonymousBytes: 20e6,
      virtualBytes: 9e8,
      openDescriptors: 21,
      mostDescriptors: 1024,
      threads: 9,
      startedAtSeconds: 1.5,
    }),
    links: () => [{
      role: "vtep",
      counters: {
        linkIndex: 7,
        name: "flannel.1",
        rxPackets: 1,
        txPackets: 2,
        rxBytes: 3,
        txBytes: 4,
        rxErrors: 5,
        txErrors: 6,
        rxDropped: 7,
        txDropped: 8,
        collisions: 9,
        rxFrameErrors: 10,
        rxMissed: 11,
        txCarrierErrors: 12,
        rxNoHandler: 13,
        carrierLosses: 14,
      },
    }],
    paths: () => ({
      mode: "on",
      port: 8473,
      peerCount: 41,
      peers: [{
        host: "192.0.2.9",
        family: 2,
        state: "narrow",
        underlay: {
          state: "narrow",
          roundTripMs: 0.2,
          lossRatio: 0,
          mtu: { expectedBytes: 1500, foundBytes: 1400 },
          askedAtMs: 1,
          answeredAtMs: 2,
        },
      }],
      totals: { asked: 100, answered: 98, lost: 2, served: 97, refused: 1, roundTripMsSum: 49 },
    }),
    cloud: () => ({
      interfaceId: "eni-0a",
      tables: [{ id: "rtb-0a", routes: 3 }],
      lookedAt: new Date(1000),
      calls: new Map([["DescribeRouteTables", 4]]),
    }),
  };
}

/** All that there is to be told. */
export const WHOLE: StatusDeps = whole();
