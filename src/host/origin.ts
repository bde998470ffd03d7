import { readText } from "../file/read_text.ts";
import { fileReason } from "../file/file_reason.ts";
import type { Origin } from "../model/lease.ts";

/** What `machine-id(5)` holds. */
const MACHINE_ID = /^[0-9a-f]{32}$/;
/** A machine id is 33 bytes; what is larger is something else, and not read. */
const MAX_BYTES = 64;
/** Loden's own: another program's hash of the same machine id says nothing about ours. */
const APPLICATION_ID = "a3b1f0d24c7e4c0f9d5b6e21704f8c3a";
/** Half of a SHA-256. */
const HASH_BYTES = 16;
/** `HOST_NAME_MAX` of limits.h. */
const MAX_NAME_LENGTH = 64;

/**
 * What stands for a machine's id towards others: 32 hexadecimal digits, from which the id can't be told.
 *
 * The id itself is to be kept secret, machine-id(5): a keyed hash is published in its place, made as
 * sd_id128_get_machine_app_specific(3) makes one. The rest of it differs, as no UUID is needed.
 *
 * @throws {SyntaxError} If `machineId` is not the content of /etc/machine-id.
 */
export async function machineHash(machineId: string): Promise<string> {
  const id = machineId.trim();
  if (!MACHINE_ID.test(id)) throw new SyntaxError("it holds no machine id");
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", Uint8Array.fromHex(id), algorithm, false, ["sign"]);
  const hash = await crypto.subtle.sign("HMAC", key, Uint8Array.fromHex(APPLICATION_ID));
  return new Uint8Array(hash, 0, HASH_BYTES).toHex();
}

/** What of an origin does not change while an agent runs. */
export type Machine = Pick<Origin, "machine" | "name">;

/**
 * Finds out which machine this is. What can't be read is left out, and `doubt` hears why: a host without it is known
 * by its address alone, as flannel's are.
 *
 * @param hostName What gethostname(2) says; empty where that is not known.
 */
export async function readMachine(
  path: string | undefined,
  hostName: string,
  doubt: (reason: string) => void,
): Promise<Machine> {
  const name = hostName.slice(0, MAX_NAME_LENGTH);
  const named = /^[\x21-\x7e]+$/.test(name) ? { name } : {};
  if (path === undefined) return named;
  try {
    return { ...named, machine: await machineHash(readText(path, MAX_BYTES)) };
  } catch (error) {
    doubt(fileReason(error));
    return named;
  }
}
