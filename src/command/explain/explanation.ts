import { formatAddress } from "../../model/address.ts";
import { type AddressKind, type ChainFacts, type ChainLink, type LinkState, PROBE_PORT } from "./facts.ts";
import type { LiveReport } from "./live_report.ts";

/** The answer to the question what becomes of a packet. */
export interface Explanation {
  readonly target: string;
  readonly source: string | null;
  readonly isFromPod: boolean;
  readonly kind: AddressKind;
  /** The host that has the address, as far as that is known. */
  readonly host: string | null;
  readonly links: readonly ChainLink[];
  readonly live: LiveReport | undefined;
}

/** Puts together what was found. */
export function explanationOf(
  facts: ChainFacts,
  links: readonly ChainLink[],
  live: LiveReport | undefined,
): Explanation {
  const { target, source, isFromPod, kind, registry } = facts;
  return {
    target: formatAddress(target),
    source: source === undefined ? null : formatAddress(source),
    isFromPod,
    kind,
    host: registry.kind === "said" ? registry.lease?.host ?? null : null,
    links,
    live,
  };
}

/**
 * The first link that is broken: what is behind it follows from it, or comes after it. What the kernel itself has said of
 * a packet that was sent counts before what was read.
 */
export function causeOf({ links, live }: Explanation): ChainLink | undefined {
  const wrong = links.find(({ state }) => state === "wrong");
  if (live?.cause === undefined) return wrong;
  // What was read names the rule or the knob, where both speak of one thing.
  return wrong !== undefined && live.isAlike.includes(wrong.code) ? wrong : live.cause;
}

/** Whether something on this host stops the packet. */
export function isBroken(explanation: Explanation): boolean {
  return causeOf(explanation) !== undefined;
}

const MARKS: Readonly<Record<LinkState, string>> = { ok: "ok", wrong: "WRONG", note: "note", unknown: "?" };
const KINDS: Readonly<Record<AddressKind, string>> = {
  "own-address": "this host's own address",
  "own-pod": "an address of this host's pods",
  "overlay": "an address of another host's pods",
  "host": "another host's own address",
  "service": "a Service's address",
  "outside": "outside of the overlay",
};

/** For a person: the verdict first, then the chain. */
export function explanationLines(explanation: Explanation): readonly string[] {
  const { target, source, isFromPod, kind, host, links, live } = explanation;
  const cause = causeOf(explanation);
  const whose = source === null ? "this host" : `${source} (${isFromPod ? "a pod here" : "this host"})`;
  const where = `${target} is ${KINDS[kind]}${host === null || kind === "own-address" ? "" : `, ${host}`}`;
  const head = cause === undefined ? [`OK: nothing on this host stops packets from ${whose} to ${target}`] : [
    `BROKEN at ${cause.name}: ${cause.text}`,
    ...cause.remedy === undefined ? [] : [`  to do: ${cause.remedy}`],
  ];
  const width = Math.max(0, ...links.map(({ name }) => name.length));
  const chain = links.flatMap(({ name, state, text, remedy }) => [
    `${MARKS[state].padEnd(5)} ${name.padEnd(width)}  ${text}`,
    ...remedy === undefined || state === "ok" ? [] : [`${" ".repeat(width + 6)}  to do: ${remedy}`],
  ]);
  return [
    ...head,
    `${where}; from ${whose}, UDP to port ${PROBE_PORT}`,
    "",
    ...chain,
    ...live === undefined ? [] : ["", ...live.lines],
  ];
}

/** For programs. */
export function explanationJson(explanation: Explanation): object {
  const { links, live, isFromPod, ...rest } = explanation;
  const cause = causeOf(explanation);
  return {
    ...rest,
    fromPod: isFromPod,
    broken: cause !== undefined,
    cause: cause === undefined ? null : linkJson(cause),
    links: links.map(linkJson),
    live: live === undefined ? null : live.json,
  };
}

function linkJson({ name, state, code, text, remedy }: ChainLink): object {
  return { name, state, code, text, remedy: remedy ?? null };
}
