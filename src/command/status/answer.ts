import {
  array,
  boolean,
  catch as fallback,
  type infer as Infer,
  nullable,
  number,
  object,
  record,
  string,
} from "zod/mini";
import { PEER_STATES } from "../../status/peers.ts";

/** Texts that an agent of another version may not tell. */
const text = fallback(nullable(string()), null);
const texts = fallback(array(string()), []);
const count = fallback(nullable(number()), null);

const counts = object({
  total: number(),
  well: number(),
  unwell: fallback(record(string(), number()), {}),
  probed: fallback(number(), 0),
});

/** What an agent answers to `/status`, as far as it is shown: one of another version may tell less, and more. */
export const statusSchema = object({
  ready: boolean(),
  at: text,
  version: text,
  process: fallback(nullable(object({ id: number(), startedAt: string() })), null),
  conditions: fallback(
    array(object({
      code: string(),
      severity: string(),
      reason: string(),
      remedy: text,
      since: text,
      times: fallback(number(), 1),
    })),
    [],
  ),
  registry: fallback(
    nullable(object({ name: string(), followed: boolean(), reason: text, heardAt: text })),
    null,
  ),
  lease: fallback(
    nullable(object({
      host: string(),
      backendType: text,
      subnets: texts,
      underlayAddresses: texts,
      expiresAt: text,
    })),
    null,
  ),
  overlay: fallback(nullable(object({ backend: string(), mtuBytes: number() })), null),
  underlay: fallback(
    nullable(object({
      link: string(),
      mtuBytes: number(),
      chosenBy: text,
      addresses: fallback(array(object({ address: string(), advertised: string() })), []),
    })),
    null,
  ),
  pools: fallback(array(object({ subnet: string(), used: number(), size: number() })), []),
  pass: fallback(
    nullable(object({
      startedAt: string(),
      durationMs: number(),
      planned: number(),
      failed: fallback(number(), 0),
      remoteLeases: count,
      leftOut: count,
    })),
    null,
  ),
  peers: fallback(nullable(counts), null),
});
export type StatusAnswer = Infer<typeof statusSchema>;

const peerSchema = object({
  host: string(),
  count: fallback(number(), 1),
  subnets: texts,
  underlayAddresses: texts,
  backendType: fallback(string(), ""),
  ways: texts,
  state: string(),
  reason: text,
  paths: fallback(
    array(object({ state: string(), roundTripMs: count, lossRatio: fallback(number(), 0), mtuBytes: count })),
    [],
  ),
});

/** What an agent answers to `/peers`. */
export const peersSchema = object({
  at: string(),
  counts: nullable(counts),
  offset: number(),
  peers: array(peerSchema),
});
export type PeersAnswer = Infer<typeof peersSchema>;
export type PeerAnswer = Infer<typeof peerSchema>;
export type PeerCountsAnswer = Infer<typeof counts>;

/** How many peers of a state that is not well there are, as `2 left out`. */
export function unwellWords({ unwell }: PeerCountsAnswer): string {
  const order = (state: string) => (PEER_STATES as readonly string[]).indexOf(state);
  return Object.entries(unwell).sort(([a], [b]) => order(a) - order(b))
    .map(([state, number]) => `${number} ${state}`).join(", ");
}
