import { pause } from "../loop/pause.ts";
import { type Address, familyOf } from "../model/address.ts";
import { EAGAIN, NetlinkError } from "../linux/errno.ts";
import type { UdpPath } from "../linux/udp_socket.ts";
import { ANSWERS, PAYLOAD, PORT, type ProbeSocket } from "./probe.ts";

/** The kernel of a peer answers each address once a second (`net.ipv4.icmp_ratelimit`, `net.ipv6.icmp.ratelimit`). */
const ROUND_MS = 1000;
/** Without an answer after these, none is waited for. */
const ROUNDS = 5;
/** Peers that are asked in a round, of each family: two sockets each. */
const SAMPLE = 3;
/** Between looks for answers of one round: most come within a millisecond. */
const LOOKS_AFTER_MS = [1, 3, 12, 48, 186];
/** Peers may be behind routers; 64 is what packets usually start with. */
const HOP_LIMIT = 64;

/** An address, and the link that it is on. */
export interface PlacedAddress {
  readonly address: Address;
  readonly linkName: string;
}

/** An address in use, and one of the same family that is to take its place. */
export interface AddressMove {
  readonly from: PlacedAddress;
  readonly to: PlacedAddress;
}

/**
 * What asking peers from both came to: `answered` if one has answered the new address, in each family; `worse` if one
 * has answered the old and none the new, in some family; `silent` if nobody has answered either, or there is nobody.
 */
export type Proof = "answered" | "worse" | "silent";

/** What a proof works with. */
export interface AddressProofDeps {
  /** Others' addresses in the underlay. */
  readonly peers: () => Iterable<{ readonly address: Address }>;
  /** Opens a socket in this host's network namespace. Throws `NetlinkError` where it can't. */
  readonly open: (path: UdpPath) => ProbeSocket;
  /** From 0 to less than 1. */
  readonly random: () => number;
}

/** Who has answered one move so far. */
interface Tally {
  readonly move: AddressMove;
  isOldAnswered: boolean;
  isNewAnswered: boolean;
}

/**
 * Proves that packets from other addresses go to a peer and come back, by datagrams that the peers' kernels refuse:
 * at most three peers a second for each move, for at most five seconds. The addresses in use are asked from as well,
 * since peers that answer neither say nothing.
 *
 * @throws The signal's reason, once it aborts.
 */
export async function proveAddresses(
  deps: AddressProofDeps,
  moves: readonly AddressMove[],
  { signal }: { readonly signal: AbortSignal },
): Promise<Proof> {
  const tallies = moves.map((move): Tally => ({ move, isOldAnswered: false, isNewAnswered: false }));
  const isProved = () => tallies.every(({ isNewAnswered }) => isNewAnswered);
  let hasPeers = true;
  for (let round = 0; round < ROUNDS && hasPeers && !isProved(); round++) {
    if (round > 0) await pause(ROUND_MS, { signal });
    hasPeers = await askAll(deps, tallies, signal);
    signal.throwIfAborted();
  }
  if (isProved()) return "answered";
  return tallies.some(({ isOldAnswered, isNewAnswered }) => isOldAnswered && !isNewAnswered)
    ? "worse"
    : "silent";
}

/** One round: asks, and listens for a while. Reports whether there was a host to ask. */
async function askAll(
  deps: AddressProofDeps,
  tallies: readonly Tally[],
  signal: AbortSignal,
): Promise<boolean> {
  using resources = new DisposableStack();
  const silent = new Map<ProbeSocket, () => void>();
  let hasPeers = false;
  for (const tally of tallies) {
    if (tally.isNewAnswered) continue;
    const { from, to } = tally.move;
    for (const target of sample(deps, familyOf(to.address), [from.address, to.address])) {
      hasPeers = true;
      const fromNew = ask(deps, to, target);
      if (fromNew !== undefined) silent.set(resources.use(fromNew), () => tally.isNewAnswered = true);
      const fromOld = ask(deps, from, target);
      if (fromOld !== undefined) silent.set(resources.use(fromOld), () => tally.isOldAnswered = true);
    }
  }
  for (const ms of LOOKS_AFTER_MS) {
    if (silent.size === 0 || signal.aborted || tallies.every(({ isNewAnswered }) => isNewAnswered)) break;
    await pause(ms, { signal });
    for (const [socket, answered] of silent) {
      const errno = socket.receive();
      if (errno === EAGAIN) continue;
      silent.delete(socket);
      if (ANSWERS.has(errno)) answered();
    }
  }
  return hasPeers;
}

/** A few peers of one family, at random: one that does not answer is not asked by all, nor every time. */
function sample({ peers, random }: AddressProofDeps, family: number, own: readonly Address[]): Address[] {
  const ranked: { readonly address: Address; readonly rank: number }[] = [];
  for (const { address } of peers()) {
    if (familyOf(address) !== family || own.includes(address)) continue;
    ranked.push({ address, rank: random() });
    ranked.sort((a, b) => a.rank - b.rank).splice(SAMPLE);
  }
  return ranked.map(({ address }) => address);
}

/** Sends a datagram; `undefined` if this host refuses to. */
function ask(deps: AddressProofDeps, source: PlacedAddress, target: Address): ProbeSocket | undefined {
  const { address, linkName } = source;
  let socket: ProbeSocket | undefined;
  try {
    socket = deps.open({ source: address, target, port: PORT, hopLimit: HOP_LIMIT, linkName });
    if (socket.send(PAYLOAD) === 0) return socket;
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
  }
  socket?.[Symbol.dispose]();
  return undefined;
}
