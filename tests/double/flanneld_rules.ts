/**
 * What flanneld's iptables mode runs for a network and this host's subnet; `program` is that of the
 * family. Chains and jumps are made where there are none: another flanneld may have made them.
 */
export function flanneldRules(program: string, network: string, subnet: string, multicast: string): string {
  const masq = '-m comment --comment "flanneld masq"';
  const forward = '-m comment --comment "flanneld forward"';
  return `
    ${program} -t nat -N FLANNEL-POSTRTG 2>/dev/null || true
    ${program} -N FLANNEL-FWD 2>/dev/null || true
    ${program} -t nat -C POSTROUTING ${masq} -j FLANNEL-POSTRTG 2>/dev/null ||
      ${program} -t nat -A POSTROUTING ${masq} -j FLANNEL-POSTRTG
    ${program} -C FORWARD ${forward} -j FLANNEL-FWD 2>/dev/null ||
      ${program} -A FORWARD ${forward} -j FLANNEL-FWD
    ${program} -t nat -D FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 ${masq} -j RETURN 2>/dev/null || true
    ${program} -t nat -A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 ${masq} -j RETURN
    ${program} -t nat -A FLANNEL-POSTRTG -s ${subnet} -d ${network} ${masq} -j RETURN
    ${program} -t nat -A FLANNEL-POSTRTG -s ${network} -d ${subnet} ${masq} -j RETURN
    ${program} -t nat -A FLANNEL-POSTRTG ! -s ${network} -d ${subnet} ${masq} -j RETURN
    ${program} -t nat -A FLANNEL-POSTRTG -s ${network} ! -d ${multicast} ${masq} -j MASQUERADE --random-fully
    ${program} -t nat -A FLANNEL-POSTRTG ! -s ${network} -d ${network} ${masq} -j MASQUERADE --random-fully
    ${program} -C FLANNEL-FWD -s ${network} ${forward} -j ACCEPT 2>/dev/null ||
      ${program} -A FLANNEL-FWD -s ${network} ${forward} -j ACCEPT
    ${program} -C FLANNEL-FWD -d ${network} ${forward} -j ACCEPT 2>/dev/null ||
      ${program} -A FLANNEL-FWD -d ${network} ${forward} -j ACCEPT`;
}

/** Commands for the rules of Loden's tests' networks. */
export const FLANNELD_RULES: Readonly<Record<"iptables" | "ip6tables", string>> = {
  iptables: flanneldRules("iptables", "10.244.0.0/16", "10.244.1.0/24", "224.0.0.0/4"),
  ip6tables: flanneldRules("ip6tables", "fd00:10:244::/56", "fd00:10:244:1::/64", "ff00::/8"),
};

/** What flanneld does every few seconds: where the jump to its rules is missing, all of them are made in one go. */
export const FLANNELD_LOOK: string = Object.entries(FLANNELD_RULES).map(([program, rules]) => {
  const lines = rules.split("\n").flatMap((line) => /^ *\S+ -t nat (-A .*)$/.exec(line)?.[1] ?? []);
  return `
    if ! ${program} -t nat -C POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG 2>/dev/null; then
      ${program} -t nat -N FLANNEL-POSTRTG 2>/dev/null || true
      ${program}-restore --noflush --wait <<'END'
*nat
${lines.join("\n")}
COMMIT
END
    fi`;
}).join("");
