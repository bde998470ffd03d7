import { parseAddress } from "../../src/model/address.ts";
import { type Json, refusal } from "./api_objects.ts";

function podCidrsOf(node: Json | undefined): readonly string[] {
  const { podCIDR, podCIDRs } = (node?.spec ?? {}) as { podCIDR?: string; podCIDRs?: readonly string[] };
  // The old field wins over the list where they do not agree.
  if (podCIDR && podCIDRs?.[0] !== podCIDR) return [podCIDR];
  return podCIDRs ?? [];
}

/** The node with both of its fields for pods' subnets, whichever it came with. */
export function withPodCidrs(node: Json): Json {
  const podCIDRs = podCidrsOf(node);
  if (podCIDRs.length === 0) return node;
  return { ...node, spec: { ...node.spec as Json, podCIDR: podCIDRs[0], podCIDRs } };
}

/**
 * Refuses what the API server refuses of pods' subnets: they are given once, and never changed.
 *
 * Source: `ValidateNode()` and `ValidateNodeUpdate()` of Kubernetes 1.20.
 *
 * @throws {Refusal} With every fault, in the server's words.
 */
export function checkPodCidrs(before: Json | undefined, after: Json): void {
  const [old, cidrs] = [podCidrsOf(before), podCidrsOf(after)];
  const shown = `[]string{${cidrs.map((cidr) => JSON.stringify(cidr)).join(", ")}}`;
  const faults = cidrs.flatMap((cidr, n) =>
    isCidr(cidr) ? [] : [`spec.podCIDRs[${n}]: Invalid value: ${shown}: must be valid CIDR`]
  );
  const families = new Set(cidrs.map((cidr) => cidr.includes(":")));
  if (faults.length === 0 && families.size < cidrs.length) {
    faults.push(
      `spec.podCIDRs: Invalid value: ${shown}: may specify no more than one CIDR for each IP family`,
    );
  }
  if (old.length > 0 && old.join() !== cidrs.join()) {
    faults.push(
      'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
      "[]: Forbidden: node updates may only change labels, taints, or capacity " +
        "(or configSource, if the DynamicKubeletConfig feature gate is enabled)",
    );
  }
  if (faults.length === 0) return;
  const what = faults.length === 1 ? faults[0] : `[${faults.join(", ")}]`;
  throw refusal(422, "Invalid", `Node "${(after.metadata as Json).name}" is invalid: ${what}`);
}

function isCidr(text: string): boolean {
  const [, address, length] = /^([0-9a-f.:]+)\/(\d{1,3})$/i.exec(text) ?? [];
  if (address === undefined) return false;
  try {
    parseAddress(address);
  } catch {
    return false;
  }
  return Number(length) <= (address.includes(":") ? 128 : 32);
}
