import { parseAddress } from "../model/address.ts";

/** Domains in which nobody can have a name of the public DNS (RFC 2606, 6761, 6762 and 8375; ICANN for `internal`). */
const PRIVATE_DOMAINS = ["localhost", "local", "internal", "svc", "test", "home.arpa"];
/** A name, or an address in brackets or without; and a port. */
const HOST = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]*))(?::\d*)?$/;

/**
 * Tells by the `Host` of a request whether it may be meant for this host: an address, one of its own names, or a name that
 * the public DNS can't have, as a Service's, or one of a single label. Any other may be an attacker's, who has it lead here so
 * that a browser lets a page of that name read what is told (DNS rebinding).
 *
 * What comes through an API server's proxy has the name of that, which no agent knows: it says in its target whose pod it is
 * for, `?pod=NAME`, as no page can know. `kubectl loden` does.
 *
 * @param names This host's own, with their domain if they have one.
 * @param podName The agent's own pod, if it is in one.
 */
export function ownNames(
  names: () => readonly string[],
  podName?: string,
): (host: string, target?: string) => boolean {
  return (host, target = "") => {
    if (podName !== undefined && target.endsWith(`?pod=${podName}`)) return true;
    const [, bracketed, plain] = HOST.exec(host.toLowerCase()) ?? [];
    if (bracketed !== undefined) return isAddress(bracketed);
    if (plain === undefined || plain === "") return false;
    const name = plain.replace(/\.$/, "");
    if (!name.includes(".") || isAddress(name)) return true;
    return PRIVATE_DOMAINS.some((domain) => name.endsWith(`.${domain}`)) ||
      names().some((own) => own.toLowerCase() === name);
  };
}

function isAddress(text: string): boolean {
  try {
    parseAddress(text);
    return true;
  } catch {
    return false;
  }
}
