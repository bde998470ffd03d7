import { errorText } from "../../log/error_text.ts";
import type { EtcdClient } from "./etcd_client.ts";
import { EtcdError } from "./etcd_refusal.ts";
import { CertificateError, ConnectionError } from "../http/connection_error.ts";
import { RegistryError } from "../registry_error.ts";

/** The member that watches did not answer, and another one was asked instead. */
export class TurnedAwayError extends ConnectionError {
  constructor(from: string, to: string) {
    super(`etcd at ${from} does not answer; ${to} does`);
  }
}

/** What a person can do about what etcd says of itself. */
const ADVICE: readonly (readonly [pattern: RegExp, advice: string])[] = [
  [/database space exceeded/, "compact and defragment it, then disarm the alarm: etcdctl alarm disarm"],
  [
    /too many requests/,
    "its disk does not keep up with what is written: etcdctl endpoint status tells its backlog",
  ],
  [/no leader/, "the majority of its members is away: etcdctl endpoint status tells which"],
  [/permission denied/, "give its user a role that may read and write the keys of -etcd-prefix"],
  [/corrupt/, "one of its members holds other data than the rest: etcdctl alarm list tells which"],
];

/** Says what was asked when etcd refuses or does not answer. */
export async function explained<T>(
  action: string,
  client: EtcdClient,
  signal: AbortSignal,
  ask: () => Promise<T>,
): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof EtcdError) throw new RegistryError(action, reasonOf(error, client.endpoint));
    if (error instanceof CertificateError) throw new RegistryError(action, error.message);
    if (error instanceof ConnectionError) {
      throw new RegistryError(action, `${error.message}; look at -etcd-endpoints`);
    }
    throw error;
  }
}

/** Whether another member may do better. */
export function isAway(error: unknown): boolean {
  return error instanceof ConnectionError || error instanceof EtcdError;
}

/** Why etcd can't be followed, as a sentence. */
export function reasonOf(error: unknown, endpoint: string): string {
  if (error instanceof EtcdError) {
    const advice = ADVICE.find(([pattern]) => pattern.test(error.message))?.[1];
    return `etcd at ${endpoint} answers: ${error.message}${advice === undefined ? "" : `; ${advice}`}`;
  }
  return errorText(error);
}
