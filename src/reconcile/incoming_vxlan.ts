import type { IncomingVxlan } from "../firewall/rules.ts";
import type { Wanted } from "./wanted.ts";

/**
 * What other hosts send to this one's VTEPs; `undefined` where none is reached in VXLAN, so that none sends any by all
 * that is known.
 *
 * @param inputLink The link that it comes in by, by name.
 */
export function incomingVxlan(wanted: Wanted | undefined, inputLink: string): IncomingVxlan | undefined {
  if (wanted === undefined || wanted.state.fdb.count === 0) return undefined;
  const vteps = wanted.state.links.flatMap((link) => link.kind === "vxlan" ? [link] : []);
  const [first] = vteps;
  return first && { port: first.port, inputLink, addresses: vteps.map(({ local }) => local) };
}
