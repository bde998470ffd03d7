import { foldKeys } from "../../config/fold_keys.ts";
import { FLANNEL_TABLES, type RuleWishes } from "../../firewall/rules.ts";
import { familyOf, type Prefix } from "../../model/address.ts";
import type { SubnetEnv } from "../../pods/subnet_env.ts";
import type { DoctorPlace } from "../doctor/place.ts";
import { iptablesMode, type RuleMode } from "./hand_back_rules.ts";
import type { RULE_MODES } from "./usage.ts";

/** What is wished of the packet filter, as a flanneld of the same flags would. */
export function wishesOf(
  { options }: DoctorPlace,
  { networks, subnets, ...env }: SubnetEnv,
  former: readonly Prefix[],
): RuleWishes {
  const families = subnets.flatMap((subnet) => {
    const network = networks.find(({ address }) => familyOf(address) === familyOf(subnet.address));
    return network === undefined ? [] : [{ network, subnet }];
  });
  return {
    families,
    isMasquerading: env.isAgentMasquerading ?? options.masquerade,
    isFullyRandom: options.isFullyRandom,
    isForwarding: options.forwardRules,
    excluded: [],
    former,
  };
}

/** Where flanneld will have its rules, and what is not certain about that. */
export async function modeOf(
  { place, rules }: { readonly place: DoctorPlace; readonly rules: typeof RULE_MODES[number] },
): Promise<{ mode: RuleMode; doubts: readonly string[] }> {
  if (rules !== "auto") return { mode: rules, doubts: [] };
  const mode = iptablesMode(place.libc);
  try {
    const { text } = await place.config;
    const { EnableNFTables } = foldKeys(JSON.parse(text), ["EnableNFTables"]).members;
    return { mode: EnableNFTables === true ? "nftables" : mode, doubts: [] };
  } catch {
    // Made by this before it was ended, or by a flanneld of this host.
    const flannels = new Set(Object.values(FLANNEL_TABLES));
    if (place.isRoot && place.tables.some(({ table }) => flannels.has(table))) {
      return { mode: "nftables", doubts: [] };
    }
    const doubt =
      `the network configuration, which can't be read: that it does not ask for nftables is supposed ` +
      "(--rules says otherwise)";
    return { mode, doubts: [doubt] };
  }
}
