import { type FlannelMode, handBackRules, planHandBack } from "../../firewall/hand_back.ts";
import { planLegacyHandBack } from "../../firewall/legacy_hand_back.ts";
import { parseLegacyListing } from "../../firewall/legacy_rules.ts";
import { observeRules } from "../../firewall/rule_set.ts";
import { familyWishes, type RuleWishes } from "../../firewall/rules.ts";
import type { Libc } from "../../linux/libc.ts";
import { legacyTableNames } from "../../linux/legacy_tables.ts";
import { findProgram, runProgram } from "../../linux/program.ts";
import { FAMILIES, type Family } from "../../model/address.ts";
import { NetlinkClient } from "../../netlink/client.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../../netlink/socket.ts";
import type { CleanupPlan, CleanupStep } from "../cleanup/cleanup_step.ts";
import { RULE_MODES } from "./usage.ts";

/** Where flanneld has its rules. */
export type RuleMode = Exclude<typeof RULE_MODES[number], "auto">;

/** A plan, and whether something of it is Loden's alone. */
export interface RulesPlan extends CleanupPlan {
  readonly hasOwn: boolean;
}

const LEGACY: Readonly<Record<Family, string>> = { 2: "iptables-legacy", 10: "ip6tables-legacy" };

/** Where a flanneld on this host would have its rules, if its configuration does not ask for nftables. */
export function iptablesMode(libc: Libc): RuleMode {
  const isLegacy = FAMILIES.some((family) => legacyTableNames(libc, family).includes("filter"));
  return isLegacy ? "iptables-legacy" : "iptables";
}

/**
 * Plans how flanneld's rules come into the place of ours.
 *
 * @throws {Error} If the kernel, or a program, refuses to say.
 */
export async function planRules(libc: Libc, wishes: RuleWishes, mode: RuleMode): Promise<RulesPlan> {
  const legacy = mode === "iptables-legacy" ? await legacySteps(wishes) : [];
  // What legacy iptables has of flanneld's is not made a second time.
  const rest = mode === "iptables-legacy"
    ? { ...wishes, isMasquerading: false, isForwarding: false }
    : wishes;
  const native: FlannelMode = mode === "nftables" ? "nftables" : "iptables";
  const { plans, kept } = withRules(libc, (client) => planHandBack(rest, native, observeRules(client)));
  const actions = plans.flatMap(({ actions }) => actions);
  const steps = [...legacy];
  if (actions.length > 0) {
    const run = () => withRules(libc, (client) => handBackRules(client, rest, native));
    steps.push({ verb: "turn", object: `rules into flanneld's: ${actions.join(", ")}`, run });
  }
  return { steps, kept, hasOwn: actions.some((action) => action.startsWith("delete table ")) };
}

/** What legacy iptables is to be told, with its own program: nobody else can change it. */
async function legacySteps(wishes: RuleWishes): Promise<CleanupStep[]> {
  const steps: CleanupStep[] = [];
  for (const family of FAMILIES) {
    if (familyWishes(wishes, family).part === undefined) continue;
    const [save, restore] = ["save", "restore"].map((what) => {
      const name = `${LEGACY[family]}-${what}`;
      const path = findProgram(name);
      if (path === undefined) {
        throw new Error(
          `the rules of this host are legacy iptables', and there is no ${name} here (Loden's image has none): run this on ` +
            "the host itself with iptables installed, or with --rules=iptables, whose rules work beside those",
        );
      }
      return path;
    });
    const list = async (table: string) => parseLegacyListing(await run(save!, ["-t", table], ""));
    const input = planLegacyHandBack(
      { nat: await list("nat"), filter: await list("filter") },
      wishes,
      family,
    );
    if (input === undefined) continue;
    steps.push({
      verb: "write",
      object: `flanneld's rules in ${LEGACY[family]}`,
      run: async () => void await run(restore!, ["--noflush", "--wait"], input),
    });
  }
  return steps;
}

async function run(path: string, args: readonly string[], input: string): Promise<string> {
  const { code, stdout, stderr } = await runProgram(path, args, input);
  if (code === 0) return stdout;
  throw new Error(
    `Cannot run ${path} ${args.join(" ")}: it ended with ${code}, "${stderr.trim().split("\n")[0]}"`,
  );
}

function withRules<T>(libc: Libc, act: (client: NetlinkClient) => T): T {
  using socket = NetlinkSocket.open(libc, { protocol: NETLINK_NETFILTER });
  return act(new NetlinkClient(socket));
}
