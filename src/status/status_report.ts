import type { CloudReport } from "../cloud/cloud.ts";
import { printable } from "../log/printable.ts";
import type { StandingCondition } from "../loop/conditions.ts";
import { type Address, AF_INET, familyOf, formatAddress, formatPrefix } from "../model/address.ts";
import { isReady, sentencesOf, severityOf } from "../model/condition.ts";
import type { Lease } from "../model/lease.ts";
import { REASONS } from "../model/reasons.ts";
import type { Underlay } from "../model/underlay.ts";
import { countFaults, type PassReport } from "../reconcile/report.ts";
import { VERSION } from "../model/version.ts";
import { peerCounts } from "./peers.ts";
import type { HostReport, RegistryFacts, RuleFacts, StatusDeps } from "./facts.ts";

/** Peers that were left out are named up to this many; all of them are counted. */
const NAMED_FAULTS = 100;
/** A reason is cut here: part of it can be another host's words. */
const MAX_LINE_LENGTH = 500;

/** What `/status` says of this host, at the port and at the agent's door. */
export function statusReport(deps: StatusDeps): Readonly<Record<string, unknown>> {
  const conditions = deps.conditions();
  const overlay = deps.overlay?.();
  return {
    at: new Date().toISOString(),
    version: VERSION,
    process: { id: Deno.pid, startedAt: new Date(performance.timeOrigin).toISOString() },
    ready: isReady(conditions),
    reasons: sentencesOf("blocking", conditions).map(oneLine),
    notes: sentencesOf("degraded", conditions).map(oneLine),
    conditions: conditions.map(describeCondition),
    registry: describeRegistry(deps.registry()),
    lease: describeLease(deps.ownLease()),
    overlay: overlay === undefined ? null : { backend: overlay.backend, mtuBytes: overlay.mtuBytes },
    peers: peerCounts(deps) ?? null,
    underlay: describeUnderlay(deps.underlay()),
    pools: deps.pools().map(({ leftovers, ...pool }) => ({ ...pool, leftovers: leftovers ?? null })),
    rules: describeRules(deps.rules()),
    host: describeHost(deps.host()),
    ...describeCloud(deps.cloud?.()),
    pass: describePass(deps.lastPass()),
  };
}

function describeCondition(condition: StandingCondition) {
  const { code, sentence, since, times } = condition;
  return {
    code,
    severity: severityOf(condition),
    reason: oneLine(sentence),
    remedy: REASONS[code].remedy,
    since: since.toISOString(),
    times,
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

/** Only a host with a cloud has this part. */
function describeCloud(cloud: CloudReport | undefined) {
  if (cloud === undefined) return {};
  const { interfaceId, tables, lookedAt, calls } = cloud;
  return {
    cloud: {
      interface: interfaceId,
      tables,
      lookedAt: lookedAt.toISOString(),
      calls: Object.fromEntries(calls),
    },
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
    applied: pass.applied,
    failed: pass.failureCount,
    failures: pass.failures.map(oneLine),
    forwarding: pass.isForwarding,
    remoteLeases: pass.remoteLeases,
    leftOut: countFaults(pass.faults),
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
export function oneLine(text: string): string {
  return printable(text, MAX_LINE_LENGTH);
}
