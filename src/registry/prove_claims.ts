import type { Log } from "../log/log.ts";
import type { Lease } from "../model/lease.ts";
import { describeOrigin } from "./origin_text.ts";
import { type Candidate, type Claim, holdsUnseen } from "./own_lease.ts";
import { untilSilent } from "./silence.ts";

/** What a registry knows of the holders of leases. */
export interface Holders<C extends Candidate> {
  /** Whether a lease is one to go on with: where there is one, no other holder is waited for. */
  readonly suits: (lease: Lease) => boolean;
  /** Whether the holder of a lease shows signs of life; that of a reservation shows none. */
  readonly showsLife: (candidate: C) => boolean;
  /** Seconds since the last sign of life; `undefined` where the lease has ended. */
  readonly ageSeconds: (candidate: C) => Promise<number | undefined>;
  /** Tokens of holders that were seen to live: their leases are not this host's, however alike the hosts are. */
  readonly living: Set<string>;
  /** A holder that has shown no sign of life for so long is gone. */
  readonly silentMs: number;
  readonly log: Log;
}

/** Tells which claims hold, in their order: of what is in doubt, the holder is waited for. */
export async function proveClaims<C extends Candidate>(
  claims: readonly Claim<C>[],
  { suits, showsLife, ageSeconds, living, silentMs, log }: Holders<C>,
  options: { readonly signal: AbortSignal },
): Promise<Claim<C>[]> {
  const proven: Claim<C>[] = [];
  for (const claim of claims) {
    const { candidate, isDoubtful } = claim;
    const { lease: { host, origin }, token } = candidate;
    if (isDoubtful && token !== undefined && living.has(token)) continue;
    // One is enough; what else is in doubt is looked at again when the lease is renewed.
    const waits = !proven.some(({ candidate }) => suits(candidate.lease));
    const waiting = () => log.write("info", "holder of a lease waited for", { host, silentMs });
    const isSeen = showsLife(candidate);
    const holds = async () =>
      isSeen
        ? await untilSilent(() => ageSeconds(candidate), { silentMs, waits, waiting }, options)
        : holdsUnseen(claim);
    if (!isDoubtful || await holds()) proven.push(claim);
    else {
      if (waits && isSeen && token !== undefined) living.add(token);
      log.write("info", "lease of a living host left alone", { host, who: describeOrigin(origin) });
    }
  }
  return proven;
}
