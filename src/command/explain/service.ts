import { type Address, formatAddress } from "../../model/address.ts";
import { matchRule } from "../../nftables/match.ts";
import type { Packet } from "../../nftables/packet.ts";
import type { RuleBook } from "../../nftables/packet_walk.ts";

/**
 * Whether rules of kube-proxy are about an address alone: then it is a Service's. Those of its iptables mode name it in a
 * rule each; sets of its nftables mode are not read.
 */
export function isServiceAddress(book: RuleBook, address: Address): boolean {
  const packet: Packet = {
    source: address,
    destination: address,
    sourcePort: 0,
    destinationPort: 0,
    state: "new",
  };
  const named = new RegExp(`\\bip6? daddr ${formatAddress(address).replaceAll(".", "\\.")}( |$)`);
  return [...book.rules.values()].some((rules) =>
    rules[0]?.chain.startsWith("KUBE-") && rules.some((rule) => named.test(matchRule(rule, packet).text))
  );
}
