import type { LabHost } from "../../src/lab/host.ts";
import { AF_INET, AF_INET6, type Family } from "../../src/model/address.ts";
import type { FaultSite } from "./site.ts";

/** Loden's own table of the packet filter, as nft(8) calls it. */
const OWN_TABLE: Readonly<Record<Family, readonly string[]>> = {
  [AF_INET]: ["ip", "loden-10.244.0.0-16"],
  [AF_INET6]: ["ip6", "loden-fd00_10_244__-56"],
};
const IPTABLES: Readonly<Record<Family, string>> = { [AF_INET]: "iptables-nft", [AF_INET6]: "ip6tables-nft" };

/** Drops forwarded packets that no rule accepts, as Docker does. Where the policy stands already, nothing happens. */
export async function dropForwarded({ families, netns }: LabHost): Promise<void> {
  for (const family of families) await netns.mustExec(IPTABLES[family], "-P", "FORWARD", "DROP");
}

/** Deletes the rules of iptables in one family. */
export async function flushIptables({ host, family }: FaultSite): Promise<void> {
  await host.netns.mustExec(IPTABLES[family], "-F");
}

/** Deletes the own table in one family. */
export async function deleteTable({ host, family }: FaultSite): Promise<void> {
  await host.netns.mustExec("nft", "delete", "table", ...OWN_TABLE[family]);
}

/** Deletes the rule of the own table that masquerades what pods send to the outside. */
export async function deleteMasqueradeRule({ host, family }: FaultSite): Promise<void> {
  const table = OWN_TABLE[family];
  const text = await host.netns.mustExec("nft", "-a", "list", "table", ...table);
  const [, handle] = /"pods to the outside" # handle (\d+)/.exec(text) ?? [];
  if (handle === undefined) {
    throw new Error(`Cannot find the rule to delete in table ${table.join(" ")}: ${text}`);
  }
  await host.netns.mustExec("nft", "delete", "rule", ...table, "postrouting", "handle", handle);
}

/** Deletes everything that the packet filter holds. */
export async function flushRuleset({ host }: FaultSite): Promise<void> {
  await host.netns.mustExec("nft", "flush", "ruleset");
}
