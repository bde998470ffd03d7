import { formatAddress, formatPrefix } from "../../model/address.ts";
import type { KernelState, KernelVtep } from "./kernel_state.ts";
import type { LocalFacts } from "./local_facts.ts";
import { countWords, momentWords, spanWords, twoColumns } from "./words.ts";

/** The code of the condition that an agent leaves behind when it ends. */
const ENDED = "agent-ended";

/** What is known of a host whose agent does not answer: the first line is why. */
export function localLines(
  facts: LocalFacts,
  { silence }: { readonly silence: string | undefined },
): string[] {
  const { at, env, envFault, kernel, kernelFault, faults } = facts;
  const backend = env?.backendType ?? "flanneld's";
  const subnets = env?.subnets.map(formatPrefix).join(", ");
  return [
    `${momentWords(at)} ${silence ?? absence(facts)}`,
    ...twoColumns([
      ["subnet", env === undefined ? `${facts.subnetFilePath}: ${envFault}` : `${subnets}, ${backend}`],
      ["data path", kernel === undefined ? `not known: ${kernelFault}` : pathWords(kernel, faults)],
      ...(kernel?.vteps ?? []).map((vtep) => ["link", vtepWords(vtep)] as const),
      ...faults.map((fault) => ["wrong", fault] as const),
    ]),
  ];
}

/** Why no agent answers, where none is there to be asked. */
function absence({ isLockHeld, holder, said, env, at }: LocalFacts): string {
  if (isLockHeld || holder !== undefined) {
    const who = holder === undefined || holder.pid === 0 ? "a process" : `process ${holder.pid}`;
    return `NO ANSWER: ${who} is the agent of this host, and has no door to ask it through: it is starting, or of an earlier version`;
  }
  if (env !== undefined && env.backendType === undefined) {
    return "NO AGENT of Loden runs on this host: the subnet file is flanneld's, which tells nothing of itself";
  }
  if (said === undefined) {
    return "NO AGENT runs on this host, and none has left word: it was never started, or it is flanneld";
  }
  const ago = `${momentWords(said.at)} (${spanWords(at.getTime() - said.at.getTime())} ago)`;
  const [first] = said.reasons;
  if (first?.code === ENDED) return `NO AGENT runs on this host since ${ago}: ${first.sentence}`;
  const last = first === undefined ? "it was ready" : `it was not ready: ${first.sentence}`;
  // It is not known when: what it said is written when it changes.
  return `NO AGENT runs on this host: the last one was killed; until then, since ${ago}, ${last}`;
}

/** Whether packets of pods still get to other hosts, as far as the kernel shows it. */
function pathWords({ vteps, direct, links }: KernelState, faults: readonly string[]): string {
  const nameOf = (index: number | undefined) =>
    links.find(({ linkIndex }) => linkIndex === index)?.name ?? "no link";
  const over = new Map<string, number>();
  for (const { linkIndex } of [...vteps.flatMap(({ routes }) => routes), ...direct]) {
    const name = nameOf(linkIndex);
    over.set(name, (over.get(name) ?? 0) + 1);
  }
  if (over.size === 0) return "nothing leads to another host";
  const routes = [...over].map(([name, count]) => `${countWords(count, "route")} over ${name}`).join(", ");
  return `${faults.length === 0 ? "stands" : "DAMAGED"}: ${routes}`;
}

function vtepWords({ link, neighbours, fdb }: KernelVtep): string {
  const { name, isUp, mtuBytes, vxlan } = link;
  const from = vxlan?.local === undefined ? "" : `, from ${formatAddress(vxlan.local)}`;
  return `${name} ${isUp ? "up" : "DOWN"}, VNI ${vxlan?.vni}, port ${vxlan?.port}, MTU ${mtuBytes}${from}; ` +
    `${countWords(neighbours.size, "neighbour")}, ${countWords(fdb.size, "FDB entry", "FDB entries")}`;
}
