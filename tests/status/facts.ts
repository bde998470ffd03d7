import { AF_INET, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { StandingCondition } from "../../src/loop/conditions.ts";
import type { ConditionCode } from "../../src/model/condition.ts";
import type { Lease } from "../../src/model/lease.ts";
import type { Underlay } from "../../src/model/underlay.ts";
import type { HostReport, StatusDeps } from "../../src/status/facts.ts";
import type { PassReport } from "../../src/reconcile/report.ts";

/** The lease of the host that the endpoints speak for. */
export const OWN: Lease = {
  host: "192.0.2.1",
  backendType: "vxlan",
  parts: [{
    subnet: parsePrefix("10.244.1.0/24"),
    underlayAddress: parseAddress("192.0.2.1"),
    backendData: { VNI: 1, Secret: "not to be told" },
  }],
  expiresAtMs: Date.parse("2026-01-02T00:00:00Z"),
};

export const UNDERLAY: Underlay = {
  linkIndex: 2,
  linkName: "eth0",
  mtuBytes: 1500,
  addresses: [{
    family: AF_INET,
    address: parseAddress("192.0.2.1"),
    advertised: parseAddress("198.51.100.1"),
    mtuBytes: 1500,
    segments: [parsePrefix("192.0.2.0/24")],
  }],
  chosenBy: "-iface eth0",
  reason: "eth0 has lost 192.0.2.9",
};

/** A pass in which nothing was to be done, but for `changes`. */
export function pass(changes: Partial<PassReport> = {}): PassReport {
  return {
    startedAt: new Date("2026-01-01T00:00:00Z"),
    durationMs: 1.5,
    planned: 0,
    applied: 0,
    failures: [],
    failureCount: 0,
    isForwarding: true,
    families: [AF_INET],
    faults: [],
    remoteLeases: 0,
    reach: [{ family: 2, peers: 2, reached: 2 }],
    ownTaken: [],
    fights: [],
    otherBackends: [],
    doubts: [],
    isRemembered: false,
    ...changes,
  };
}

/** Conditions that hold since the beginning of 2026. */
export function standing(
  ...conditions: (readonly [code: ConditionCode, sentence: string])[]
): readonly StandingCondition[] {
  const since = new Date("2026-01-01T00:00:00Z");
  return conditions.map(([code, sentence]) => ({ code, sentence, since, times: 1 }));
}

/** A host that is as it should be. */
export const HOST: HostReport = {
  boot: "same boot",
  prerequisites: [{ name: "vxlan", verdict: "ok", detail: "the kernel makes VXLAN links" }],
  checksums: [],
  dataPath: { state: "proved", isAwaited: false, peers: [], note: undefined },
};

/** What the endpoints of a host that is ready are told. */
export const READY: StatusDeps = {
  conditions: () => [],
  lastPass: () => pass(),
  underlay: () => UNDERLAY,
  ownLease: () => OWN,
  registry: () => ({ name: "etcd /net", heardAtMs: Date.parse("2026-01-01T00:00:01Z"), reason: undefined }),
  totals: () => ({ passes: 1, planned: 0, failed: 0, lostLogLines: 0 }),
  host: () => undefined,
  rules: () => undefined,
  pools: () => [{ network: "cbr0", subnet: "10.244.1.0/24", used: 3, size: 253, leftovers: 1 }],
};
