import { nothingWished } from "../../firewall/rules.ts";
import { plansOf } from "../../firewall/plan.ts";
import { observeRules } from "../../firewall/rule_set.ts";
import { removeRules } from "../../firewall/traffic_rules.ts";
import { AF_INET, AF_INET6 } from "../../model/address.ts";
import { NetlinkClient } from "../../netlink/client.ts";
import type { Libc } from "../../linux/libc.ts";
import { legacyTableNames } from "../../linux/legacy_tables.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../../netlink/socket.ts";
import type { CleanupPlan, CleanupStep } from "./cleanup_step.ts";
import { legacyIptables } from "../../agent/open_rules.ts";

/**
 * The rules of the packet filter that are ours or flannel's.
 *
 * @throws {NetlinkError} If the kernel refuses to say.
 */
export function planRules(libc: Libc): CleanupPlan {
  const steps: CleanupStep[] = [];
  const actions = withRules(libc, (client) => plansOf(nothingWished, observeRules(client)))
    .flatMap(({ actions }) => actions.map((action) => action.replace(/^delete /, "")));
  if (actions.length > 0) {
    const run = () => withRules(libc, removeRules);
    steps.push({ verb: "delete", object: `rules: ${actions.join(", ")}`, run });
  }
  const isLegacy = ([AF_INET, AF_INET6] as const).some((family) => legacyTableNames(libc, family).length > 0);
  if (isLegacy) {
    const run = async () => {
      const quiet = { write: () => {} };
      const { failures } = await legacyIptables(libc, quiet).keep(nothingWished);
      if (failures.length > 0) throw new Error(failures.join("; "));
    };
    steps.push({ verb: "delete", object: "rules of flannel in legacy iptables", run });
  }
  return { steps, kept: [] };
}

function withRules<T>(libc: Libc, act: (client: NetlinkClient) => T): T {
  using socket = NetlinkSocket.open(libc, { protocol: NETLINK_NETFILTER });
  return act(new NetlinkClient(socket));
}
