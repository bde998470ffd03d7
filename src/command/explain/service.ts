import { type Address, familyOf, formatAddress } from "../../model/address.ts";
import { addressBytes } from "../../model/rows.ts";
import { matchRule } from "../../nftables/match.ts";
import type { Packet } from "../../nftables/packet.ts";
import type { RuleBook } from "../../nftables/rule_book.ts";

/** The table of kube-proxy's nftables mode; what in it has all addresses of Services, which its keys begin with. */
const NFT_TABLE = "kube-proxy";
const NFT_SETS = ["cluster-ips", "service-ips", "no-endpoint-services"];

/**
 * Whether rules of kube-proxy are about an address alone: then it is a Service's. Those of its iptables mode name it in a
 * rule each, its nftables mode has sets and maps of them.
 */
export function isServiceAddress(book: RuleBook, address: Address): boolean {
  const family = familyOf(address);
  const bytes = addressBytes(address);
  const isInSet = book.chains.some((chain) => chain.table === NFT_TABLE && chain.family === family) &&
    NFT_SETS.some((name) =>
      book.setOf({ family, table: NFT_TABLE }, name)?.elements
        .some(({ key }) => bytes.every((byte, at) => key[at] === byte))
    );
  if (isInSet) return true;
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
