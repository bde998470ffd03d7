import {
  catch as fallback,
  int,
  maximum,
  minimum,
  object,
  optional,
  pipe,
  regex,
  string,
  transform,
} from "zod/mini";
import { formatMac, parseMac } from "../model/address.ts";
import type { Lease, Origin } from "../model/lease.ts";

const text = (pattern: RegExp) => fallback(optional(string().check(regex(pattern))), undefined);

/**
 * What a host says of itself, as Loden writes it beside flannel's data; flanneld ignores it. A member that is not as
 * it must be counts as absent, as does the whole.
 */
export const originSchema = fallback(
  optional(pipe(
    object({
      Machine: text(/^[0-9a-f]{32}$/),
      Card: text(/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/),
      Name: text(/^[\x21-\x7e]{1,64}$/),
      // Where well-known services listen nobody is to be sent a probe.
      Probe: fallback(optional(int().check(minimum(1024), maximum(65535))), undefined),
    }),
    transform(({ Machine: machine, Card: mac, Name: name, Probe: probePort }): Origin => ({
      ...machine !== undefined && { machine },
      ...mac !== undefined && { mac: formatMac(parseMac(mac)) },
      ...name !== undefined && { name },
      ...probePort !== undefined && { probePort },
    })),
  )),
  undefined,
);

/** The value that `originSchema` reads; `undefined` if there is nothing to say. */
export function formatOrigin(
  origin: Origin | undefined,
): Readonly<Record<string, string | number>> | undefined {
  if (origin === undefined) return undefined;
  const { machine, mac, name, probePort } = origin;
  const said = {
    ...machine !== undefined && { Machine: machine },
    ...mac !== undefined && { Card: mac },
    ...name !== undefined && { Name: name },
    ...probePort !== undefined && { Probe: probePort },
  };
  return Object.keys(said).length === 0 ? undefined : said;
}

/** The origin of a lease, where there is something to say. */
export function saidBy(origin: Origin): Pick<Lease, "origin"> {
  return formatOrigin(origin) === undefined ? {} : { origin };
}

/** Who that is, for a person: `node7 (MAC 52:54:00:12:34:56)`; empty where nothing is known. */
export function describeOrigin(origin: Origin | undefined): string {
  if (origin === undefined) return "";
  const { name, mac, machine } = origin;
  const what = mac !== undefined ? `MAC ${mac}` : machine !== undefined ? `machine ${machine}` : undefined;
  if (name === undefined) return what ?? "";
  return what === undefined ? name : `${name} (${what})`;
}

/** Whether two hosts that say this can be one: what both tell is the same. */
export function isSameOrigin(a: Origin | undefined, b: Origin | undefined): boolean {
  return a?.machine === b?.machine && a?.mac === b?.mac && a?.name === b?.name;
}
