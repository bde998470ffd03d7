import { Hono } from "hono";
import { type Address, AF_INET, familyOf, formatAddress, formatPrefix } from "../model/address.ts";
import type { Lease } from "../model/lease.ts";
import type { Underlay } from "../model/underlay.ts";
import type { PassReport } from "../reconcile/report.ts";
import type { Readiness } from "./health.ts";
import type { Totals } from "./metrics.ts";

/** Peers that were left out are named up to this many; all of them are counted. */
const NAMED_FAULTS = 100;
/** A reason is cut here: part of it can be another host's words. */
const MAX_LINE_LENGTH = 500;

/** What the endpoints answer from, asked anew for each request. */
export interface StatusDeps {
  readonly health: () => Readiness;
  /** The last pass; `undefined` before the first. */
  readonly lastPass: () => PassReport | undefined;
  readonly underlay: () => Underlay | undefined;
  readonly ownLease: () => Lease | undefined;
  /** Where leases are agreed on, and whether it answers. */
  readonly registry: () => RegistryFacts;
  /** What has happened since the start. */
  readonly totals: () => Totals;
  /** How much of the own subnets is in use. */
  readonly pools: () => readonly Pool[];
  /** The packet filter at the last look; `undefined` before the first. */
  readonly rules: () => RuleFacts | undefined;
  /** The host beside links, routes and rules; `undefined` before it was looked at. */
  readonly host: () => HostReport | undefined;
}

/** The host beside links, routes and rules. */
export interface HostReport {
  /** What has happened since the agent ran last: `same boot`, `rebooted`. */
  readonly boot: string;
  /** What the overlay needs of the kernel. */
  readonly prerequisites: readonly {
    readonly name: string;
    readonly verdict: "ok" | "fixed" | "degraded" | "fatal";
    readonly detail: string;
  }[];
  /** Checksum offload of each VTEP. */
  readonly checksums: readonly {
    readonly linkName: string;
    readonly observed: boolean | undefined;
    readonly reason: string;
    readonly fault?: string;
  }[];
  /** Whether packets have come back from a peer. */
  readonly dataPath: {
    readonly state: "waiting" | "proved" | "unanswered";
    /** Whether a host with this state is not ready for it. */
    readonly isAwaited: boolean;
    /** Who was asked, and what came of it. */
    readonly peers: readonly string[];
    /** What a person is told, if there is something to tell. */
    readonly note: string | undefined;
  };
}

/** The rules of the packet filter, as far as they are ours to keep. */
export interface RuleFacts {
  /** Transactions that changed something, since the start. */
  readonly changes: number;
  readonly isMasquerading: boolean;
  /** What holds, in words. */
  readonly effective: readonly string[];
  /** What could not be made, one sentence each. */
  readonly failures: readonly string[];
  /** What else may swallow packets of pods, one sentence each. */
  readonly warnings: readonly string[];
}

/** How much of a subnet is in use. */
export interface Pool {
  readonly network: string;
  readonly subnet: string;
  /** Addresses that pods hold. */
  readonly used: number;
  /** Addresses that there are for pods. */
  readonly size: number;
  /** Of those in use, how many are a vanished pod's; absent where nobody has looked. */
  readonly leftovers: number | undefined;
}

/** Where leases are agreed on, and whether it answers. */
export interface RegistryFacts {
  readonly name: string;
  /** When it was last heard, in milliseconds since 1970; `undefined` if never. */
  readonly heardAtMs: number | undefined;
  /** Why it can't be followed now; `undefined` while it can. */
  readonly reason: string | undefined;
}

/** `/healthz` and `/readyz` as flanneld answers them, with the reasons behind its words; `/status`; `/metrics`. */
export function statusApp(current: () => StatusDeps): Hono {
  const app = new Hono();
  app.all("/healthz", () => plainText(200, "flanneld is running"));
  app.all("/readyz", () => {
    const { isReady, reasons, notes } = current().health();
    if (isReady) return plainText(200, ["flanneld is ready", ...notes.map(oneLine)].join("\n"));
    return plainText(503, ["flanneld is not ready yet", ...reasons.map(oneLine)].join("\n"));
  });
  app.get("/metrics", async () => {
    // Most clusters have somebody who asks; those that have not, need not load it.
    const { metricsText } = await import("./metrics.ts");
    return plainText(200, await metricsText(current()), "text/plain; version=0.0.4; charset=utf-8");
  });
  app.get("/status", (context) => context.json(statusReport(current())));
  app.notFound(() => plainText(404, "404 page not found"));
  app.onError(() => plainText(500, "500 internal error"));
  return app;
}

/** Answers with flanneld's very header; Hono spells it otherwise. */
function plainText(status: number, text: string, type = "text/plain; charset=utf-8"): Response {
  return new Response(text, { status, headers: { "content-type": type } });
}

function statusReport(deps: StatusDeps) {
  const { isReady, reasons, notes } = deps.health();
  return {
    ready: isReady,
    reasons: reasons.map(oneLine),
    notes: notes.map(oneLine),
    registry: describeRegistry(deps.registry()),
    lease: describeLease(deps.ownLease()),
    underlay: describeUnderlay(deps.underlay()),
    pools: deps.pools().map(({ leftovers, ...pool }) => ({ ...pool, leftovers: leftovers ?? null })),
    rules: describeRules(deps.rules()),
    host: describeHost(deps.host()),
    pass: describePass(deps.lastPass()),
  };
}

function describeHost(host: HostReport | undefined) {
  if (host === undefined) return null;
  const { boot, prerequisites, checksums, dataPath } = host;
  return {
    boot,
    prerequisites,
    txChecksums: checksums.map(({ linkName, observed, reason, fault }) => ({
      link: linkName,
      on: observed ?? null,
      reason: oneLine(fault ?? reason),
    })),
    dataPath: { state: dataPath.state, peers: dataPath.peers.map(oneLine) },
  };
}

function describeRules(facts: RuleFacts | undefined) {
  if (facts === undefined) return null;
  const { effective, failures, warnings, changes } = facts;
  return { effective, failures: failures.map(oneLine), warnings: warnings.map(oneLine), changes };
}

function describeRegistry({ name, heardAtMs, reason }: RegistryFacts) {
  return {
    name: oneLine(name),
    followed: reason === undefined,
    reason: reason === undefined ? null : oneLine(reason),
    heardAt: heardAtMs === undefined ? null : new Date(heardAtMs).toISOString(),
  };
}

function describePass(pass: PassReport | undefined) {
  if (pass === undefined) return null;
  return {
    startedAt: pass.startedAt.toISOString(),
    durationMs: pass.durationMs,
    planned: pass.planned,
    applied: pass.planned - pass.failureCount,
    failed: pass.failureCount,
    failures: pass.failures.map(oneLine),
    forwarding: pass.isForwarding,
    remoteLeases: pass.remoteLeases,
    leftOut: pass.faults.length,
    faults: pass.faults.slice(0, NAMED_FAULTS)
      .map(({ host, reason }) => ({ host: oneLine(host), reason: oneLine(reason) })),
  };
}

function describeLease(lease: Lease | undefined) {
  if (lease === undefined) return null;
  return {
    host: lease.host,
    backendType: lease.backendType,
    subnets: lease.parts.map(({ subnet }) => formatPrefix(subnet)),
    underlayAddresses: lease.parts.map(({ underlayAddress }) => formatAddress(underlayAddress)),
    expiresAt: lease.expiresAtMs === undefined ? null : new Date(lease.expiresAtMs).toISOString(),
  };
}

function describeUnderlay(underlay: Underlay | undefined) {
  if (underlay === undefined) return null;
  return {
    link: underlay.linkName,
    mtuBytes: underlay.mtuBytes,
    chosenBy: underlay.chosenBy === undefined ? null : oneLine(underlay.chosenBy),
    reason: underlay.reason === undefined ? null : oneLine(underlay.reason),
    addresses: underlay.addresses.map(({ address, advertised, mtuBytes }) => ({
      family: familyName(address),
      address: formatAddress(address),
      advertised: formatAddress(advertised),
      mtuBytes,
    })),
  };
}

function familyName(address: Address): string {
  return familyOf(address) === AF_INET ? "ipv4" : "ipv6";
}

/** Makes one printable line of text that may come from elsewhere. */
function oneLine(text: string): string {
  const line = text.replace(/\p{Cc}+/gu, " ");
  return line.length <= MAX_LINE_LENGTH ? line : `${line.slice(0, MAX_LINE_LENGTH)}…`;
}
