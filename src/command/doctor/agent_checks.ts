import { isAgentLockHeld } from "../../pods/agent_lock.ts";
import type { Process } from "../../linux/system_facts.ts";
import { errorText } from "../../log/error_text.ts";
import { notedFlagsPath } from "../../agent/noted_flags.ts";
import { isFile } from "../../file/read_file.ts";
import { agentStatePath, readAgentState } from "../../pods/agent_state.ts";
import { readLocalFacts } from "../status/local_facts.ts";
import { AgentDoorError, NO_DOOR } from "../agent_door.ts";
import { NAME_REGISTRY } from "../agent_flags.ts";
import { type Check, check } from "./check.ts";
import { doubtful, ok, type Said, unseen, UnseenError, wrong } from "./finding.ts";
import type { AgentWords, DoctorPlace } from "./place.ts";

/** What the agent says, who else would be one, and what serves Services beside it. */
export const AGENT_CHECKS: readonly Check[] = [
  {
    name: "agent",
    isFirst: true,
    look: async (place) => [...judgeAgent(await readAgent(place)), ...judgeNotedFlags(place)],
  },
  check("data-path", readDataPath, judgeDataPath),
  check(
    "other-agents",
    (place) => place.system.processes(FLANNELD).filter(({ isHere }) => isHere ?? true),
    judgeOthers,
  ),
  check("kube-proxy", readProxy, judgeProxy),
  check("cloud", readCloud, judgeCloud),
];

const FLANNELD: ReadonlySet<string> = new Set(["flanneld", "loden"]);

/** What an agent says last that was not killed. */
const ENDED = "agent-ended";

/** What the agent answered. */
export type FoundAgent =
  | { readonly kind: "words"; readonly words: AgentWords }
  | { readonly kind: "none"; readonly isLockHeld: boolean; readonly former: FormerAgent | undefined }
  | { readonly kind: "fault"; readonly reason: string; readonly isRoot: boolean };

/** An agent that was here and runs no more. */
export interface FormerAgent {
  /** Whether it has said that it ends; it was killed if not. */
  readonly hasEnded: boolean;
}

function formerAgent(subnetFilePath: string): FormerAgent | undefined {
  const said = readAgentState(agentStatePath(subnetFilePath));
  if (said !== undefined) return { hasEnded: said.reasons.some(({ code }) => code === ENDED) };
  return isFile(notedFlagsPath(subnetFilePath)) ? { hasEnded: false } : undefined;
}

async function readAgent(place: DoctorPlace): Promise<FoundAgent> {
  try {
    const words = await place.agent;
    if (words !== undefined) return { kind: "words", words };
    const { subnetFilePath } = place.options;
    return {
      kind: "none",
      isLockHeld: isAgentLockHeld(subnetFilePath),
      former: formerAgent(subnetFilePath),
    };
  } catch (error) {
    if (!(error instanceof AgentDoorError)) throw error;
    return { kind: "fault", reason: errorText(error), isRoot: place.isRoot };
  }
}

export function judgeAgent(found: FoundAgent): readonly Said[] {
  switch (found.kind) {
    case "none":
      if (found.isLockHeld) {
        return [doubtful(`${NO_DOOR}: it is of another version, or still starts`, "see its log")];
      }
      if (found.former === undefined) return [unseen("no agent runs on this host")];
      return [
        found.former.hasEnded
          ? doubtful("no agent runs on this host any more: it was told to end", "start it")
          : wrong(
            "no agent runs on this host any more: the last one was killed",
            "start it, and see its log",
          ),
      ];
    case "fault":
      return [found.isRoot ? wrong(found.reason, "start it anew") : unseen(found.reason)];
    case "words": {
      const { conditions, ready } = found.words;
      const said = conditions.flatMap(({ code, severity, reason, remedy }): Said[] => {
        const text = `${reason} (${code})`;
        const advice = clause(remedy);
        if (severity === "blocking") return [wrong(text, advice)];
        return severity === "degraded" ? [doubtful(text, advice)] : [];
      });
      if (said.length > 0) return said;
      return [ready ? ok("it is ready") : doubtful("it is not ready, and does not say why", "see its log")];
    }
  }
}

/** Whether commands know what the agent was started with. */
export function judgeNotedFlags({ flagsFault, isRoot }: Pick<DoctorPlace, "flagsFault" | "isRoot">): Said[] {
  if (flagsFault === undefined) return [];
  const { message } = flagsFault;
  if (!isRoot) return [unseen(message)];
  return [
    doubtful(message, `remove it, so that the agent notes them anew; until then give ${NAME_REGISTRY}`),
  ];
}

/** What is wrong with the way of packets where no agent says it; `undefined` where one answers, or there is no subnet yet. */
async function readDataPath(place: DoctorPlace): Promise<readonly string[] | "asked" | "none"> {
  if (await place.hasAgent) return "asked";
  const { env, faults, kernelFault } = readLocalFacts(place.options.subnetFilePath, place.libc);
  if (kernelFault !== undefined) throw new UnseenError(kernelFault);
  return env === undefined ? "none" : faults;
}

export function judgeDataPath(found: readonly string[] | "asked" | "none"): readonly Said[] {
  if (found === "asked") return [ok("the agent looks after it")];
  if (found === "none") return [ok("this host has no subnet yet")];
  if (found.length === 0) return [ok("what the last agent has made is there, as far as the kernel shows")];
  return found.map((fault) => wrong(fault, "start the agent, which makes it anew"));
}

/** A sentence as a clause. */
function clause(sentence: string): string {
  return `${sentence.slice(0, 1).toLowerCase()}${sentence.slice(1).replace(/\.$/, "")}`;
}

export function judgeOthers(processes: readonly Process[]): Said {
  const flanneld = processes.filter(({ program }) => program === "flanneld");
  const own = processes.filter(({ program }) => program === "loden");
  if (flanneld.length > 0 && own.length > 1) {
    return doubtful(
      `flanneld (process ${
        flanneld.map(({ pid }) => pid).join(", ")
      }) runs beside loden: two agents of one network undo ` +
        "each other's work",
      "run one of the two only",
    );
  }
  if (flanneld.length > 1) {
    const pids = flanneld.map(({ pid }) => pid).join(", ");
    return doubtful(
      `${flanneld.length} agents run in this network namespace (processes ${pids})`,
      "run one only, unless each has another network, VNI and subnet file",
    );
  }
  return ok("no other agent is seen");
}

/** Where kube-proxy tells how it is configured. */
const PROXY_URL = "http://127.0.0.1:10249/configz";
const PROXY_MS = 1000;
const MAX_PROXY_BYTES = 256 * 1024;

/** How Services are served. */
export interface FoundProxy {
  /** What kube-proxy says of itself; `undefined` where it does not answer. */
  readonly config: ProxyConfig | undefined;
  /** What its links and chains look like. */
  readonly signs: readonly string[];
  /** The cluster networks; none where they are not known. */
  readonly networks: readonly string[];
  readonly arpIgnore: number | undefined;
}

export interface ProxyConfig {
  readonly mode?: unknown;
  readonly clusterCIDR?: unknown;
  readonly iptables?: { readonly masqueradeAll?: unknown } | null;
  readonly ipvs?: { readonly strictARP?: unknown } | null;
  readonly nftables?: { readonly masqueradeAll?: unknown } | null;
}

async function readProxy(place: DoctorPlace): Promise<FoundProxy> {
  const { formatPrefix } = await import("../../model/address.ts");
  const families = await place.config.then(({ config }) => config.families, () => []);
  const chains = place.isRoot ? place.chains : [];
  const arpIgnore = place.kernelFile("/proc/sys/net/ipv4/conf/all/arp_ignore");
  return {
    config: await askProxy(place.signal),
    signs: [
      ...place.links.some(({ name }) => name === "kube-ipvs0") ? ["ipvs"] : [],
      ...chains.some(({ chain }) => chain === "KUBE-SERVICES") ? ["iptables"] : [],
      ...chains.some(({ table }) => table === "kube-proxy") ? ["nftables"] : [],
    ],
    networks: families.map(({ network }) => formatPrefix(network)),
    arpIgnore: arpIgnore === undefined ? undefined : Number(arpIgnore),
  };
}

async function askProxy(signal: AbortSignal): Promise<ProxyConfig | undefined> {
  const { LinkedAbort } = await import("../../loop/linked_abort.ts");
  const { readHead } = await import("../../registry/http/read_head.ts");
  using abort = new LinkedAbort(signal);
  abort.limit(PROXY_MS);
  try {
    const response = await fetch(PROXY_URL, { signal: abort.signal, redirect: "error" });
    const text = await readHead(response, MAX_PROXY_BYTES, abort.signal);
    const value = JSON.parse(text);
    const config = value?.["kubeproxy.config.k8s.io"];
    return typeof config === "object" && config !== null ? config : undefined;
  } catch {
    return undefined;
  }
}

export function judgeProxy({ config, signs, networks, arpIgnore }: FoundProxy): readonly Said[] {
  const said: Said[] = [];
  const mode = typeof config?.mode === "string" && config.mode !== "" ? config.mode : signs[0];
  if (signs.length > 1) {
    said.push(doubtful(
      `kube-proxy has rules of the modes ${signs.join(" and ")}: those of a mode before are still there`,
      "run `kube-proxy --cleanup` on this host, and start it anew",
    ));
  }
  if (mode === "userspace") {
    said.push(
      doubtful("kube-proxy is in the mode userspace, which was removed", "choose iptables or nftables"),
    );
  }
  if (config?.iptables?.masqueradeAll === true || config?.nftables?.masqueradeAll === true) {
    said.push(doubtful(
      "kube-proxy masquerades all packets to Services (masqueradeAll): pods see this host's address in place of a pod's",
      "set masqueradeAll to false, and clusterCIDR to the cluster network",
    ));
  }
  const cidr = config?.clusterCIDR;
  if (
    typeof cidr === "string" && cidr !== "" && !cidr.split(",").some((one) => networks.includes(one.trim()))
  ) {
    said.push(doubtful(
      `kube-proxy holds ${cidr.slice(0, 100)} for the cluster network, and it is ${networks.join(" and ")}`,
      "set its clusterCIDR to the cluster network",
    ));
  }
  if (mode === "ipvs" && config?.ipvs?.strictARP === true && arpIgnore === 0) {
    said.push(
      doubtful("strictARP is asked for, and net.ipv4.conf.all.arp_ignore is 0", "start kube-proxy anew"),
    );
  }
  if (said.length > 0) return said;
  return [
    ok(mode === undefined ? "kube-proxy is not seen on this host" : `kube-proxy is in the mode ${mode}`),
  ];
}

async function readCloud(place: DoctorPlace): Promise<{ readonly vendor: string; readonly backend: string }> {
  const { config: { backend } } = await place.config;
  return {
    vendor: place.kernelFile("/sys/class/dmi/id/sys_vendor") ??
      (place.kernelFile("/sys/hypervisor/uuid")?.startsWith("ec2") ? "Amazon EC2" : ""),
    backend: backend.type,
  };
}

export function judgeCloud({ vendor, backend }: { readonly vendor: string; readonly backend: string }): Said {
  if (backend === "aws-vpc") return ok("'loden doctor --aws' looks at AWS");
  if (/Amazon EC2/.test(vendor) && backend === "host-gw") {
    return doubtful(
      "this is AWS, where packets of pods are dropped by the source/destination check of the instance, and routed by no other host",
      "choose the backend aws-vpc, which 'loden doctor --aws' looks at, or vxlan",
    );
  }
  return ok("nothing is asked of a cloud");
}
