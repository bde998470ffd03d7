import type { Libc } from "../../linux/libc.ts";
import { formatAddress, formatPrefix } from "../../model/address.ts";
import { PEER_STATES } from "../../status/peers.ts";
import { AgentDoorError, askAgent } from "../agent_door.ts";
import { type PeerAnswer, type PeersAnswer, peersSchema, type StatusAnswer, statusSchema } from "./answer.ts";
import { type LocalFacts, readLocalFacts } from "./local_facts.ts";

/** Peers of one question; what the agent tells at most (`status/peers.ts`). */
const PAGE = 500;
/** Peers that are listed unless all are asked for. */
const LISTED = 40;

/** An agent that works answers within milliseconds: a person is told within 2 s that one does not. */
const PATIENCE_MS = 1500;

/** What is asked for beside the state of the host. */
export interface LookOptions {
  readonly subnetFilePath: string;
  /** Whether peers are listed: none, those that are not well and some others, or all. */
  readonly peers: "none" | "some" | "all";
}

/** One look at this host. */
export interface Look {
  readonly at: Date;
  /** What the agent answered; `undefined` if none did. */
  readonly agent: { readonly raw: unknown; readonly status: StatusAnswer } | undefined;
  readonly peers: PeersAnswer | undefined;
  /** Why peers that were asked for are not told, as a sentence; `undefined` if they are. */
  readonly peersFault: string | undefined;
  /** Why an agent that is there does not answer, as a sentence; `undefined` if it does, or none is there. */
  readonly silence: string | undefined;
  /** What can be known without an agent; `undefined` where one has answered. */
  readonly local: LocalFacts | undefined;
}

/** Asks the agent of this host; where none answers, the kernel and what lies beside the subnet file. */
export async function lookAtHost({ subnetFilePath, peers }: LookOptions, libc: Libc): Promise<Look> {
  const silent = (silence: string | undefined): Look => ({
    at: new Date(),
    agent: undefined,
    peers: undefined,
    peersFault: undefined,
    silence,
    local: readLocalFacts(subnetFilePath, libc),
  });
  try {
    const raw = await askAgent(subnetFilePath, "/status", { timeoutMs: PATIENCE_MS });
    if (raw === undefined) return silent(undefined);
    const { data } = statusSchema.safeParse(raw);
    if (data === undefined) {
      return silent("NO ANSWER: what the agent says can't be read: it is of another version");
    }
    const list = peers === "none" ? {} : await tryToAskForPeers(subnetFilePath, peers);
    const agent = { raw, status: data };
    return {
      at: new Date(),
      agent,
      peers: undefined,
      peersFault: undefined,
      silence: undefined,
      local: undefined,
      ...list,
    };
  } catch (error) {
    if (!(error instanceof AgentDoorError)) throw error;
    return silent(`NO ANSWER: ${error.message}`);
  }
}

/** The peers, or why they are not told: that hides nothing of the host. */
async function tryToAskForPeers(
  subnetFilePath: string,
  peers: "some" | "all",
): Promise<Pick<Look, "peers" | "peersFault">> {
  try {
    const list = await askForPeers(subnetFilePath, peers);
    return {
      peers: list,
      peersFault: list === undefined ? "what the agent says of them can't be read" : undefined,
    };
  } catch (error) {
    if (!(error instanceof AgentDoorError)) throw error;
    return { peers: undefined, peersFault: error.message };
  }
}

/** The peers, page by page, so that no answer keeps the agent long. */
async function askForPeers(
  subnetFilePath: string,
  peers: "some" | "all",
): Promise<PeersAnswer | undefined> {
  const limit = peers === "all" ? PAGE : LISTED;
  let whole: PeersAnswer | undefined;
  const seen = new Set<string>();
  for (let offset = 0;; offset += limit) {
    const raw = await askAgent(subnetFilePath, `/peers?offset=${offset}&limit=${limit}`);
    const { data } = peersSchema.safeParse(raw);
    if (data === undefined) return whole;
    // One that became well meanwhile stands in another page by now.
    const fresh = data.peers.filter(({ host }) => !seen.has(host));
    for (const { host } of fresh) seen.add(host);
    whole = { ...data, offset: 0, peers: [...whole?.peers ?? [], ...fresh] };
    if (peers === "some" || data.peers.length < limit) return { ...whole, peers: sorted(whole.peers) };
  }
}

/** Those that are not well first, then by name as people count: node-2 before node-10. */
function sorted(peers: readonly PeerAnswer[]): PeerAnswer[] {
  const { compare } = new Intl.Collator("en", { numeric: true });
  const order: readonly string[] = PEER_STATES;
  return peers.toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state) || compare(a.host, b.host));
}

/** What the process ends with for a look: 0 ready, 1 not ready, 3 no agent answers. */
export function exitOf({ agent }: Look): 0 | 1 | 3 {
  if (agent === undefined) return 3;
  return agent.status.ready ? 0 : 1;
}

/** A look as it is documented for programs. */
export function lookJson({ at, agent, peers, peersFault, silence, local }: Look): object {
  return {
    at: at.toISOString(),
    ready: agent?.status.ready ?? null,
    silence: silence ?? null,
    agent: agent?.raw ?? null,
    ...peers !== undefined && { peers },
    ...peersFault !== undefined && { peersFault },
    ...local !== undefined && { local: localJson(local) },
  };
}

function localJson(
  { env, envFault, said, isLockHeld, holder, kernel, kernelFault, faults }: LocalFacts,
): object {
  return {
    subnetFile: env === undefined ? { fault: envFault } : {
      networks: env.networks.map(formatPrefix),
      subnets: env.subnets.map(formatPrefix),
      backend: env.backendType ?? null,
      mtuBytes: env.mtuBytes ?? null,
    },
    lastSaid: said === undefined ? null : { at: said.at.toISOString(), reasons: said.reasons },
    agentProcess: { isLockHeld, id: holder?.pid ?? null },
    kernel: kernel === undefined ? { fault: kernelFault } : {
      vteps: kernel.vteps.map(({ link, routes, neighbours, fdb }) => ({
        link: link.name,
        up: link.isUp,
        vni: link.vxlan?.vni ?? null,
        port: link.vxlan?.port ?? null,
        mtuBytes: link.mtuBytes,
        local: link.vxlan?.local === undefined ? null : formatAddress(link.vxlan.local),
        routes: routes.length,
        neighbours: neighbours.size,
        fdbEntries: fdb.size,
      })),
      directRoutes: kernel.direct.length,
      bridge: kernel.bridge === undefined ? null : { link: kernel.bridge.name, up: kernel.bridge.isUp },
    },
    faults,
  };
}
