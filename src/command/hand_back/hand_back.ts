import { AgentClaims } from "../../agent/agent_claim.ts";
import { networksOfOthers } from "../../agent/other_agents.ts";
import { notedFlagsPath } from "../../agent/noted_flags.ts";
import { requirePrivilege } from "../../agent/preflight.ts";
import { foldKeys } from "../../config/fold_keys.ts";
import { UsageError } from "../../config/usage_error.ts";
import { readIfThere, removeIfThere } from "../../file/read_file.ts";
import { writeIfOther } from "../../file/write_if_other.ts";
import type { RuleWishes } from "../../firewall/rules.ts";
import { readHistory } from "../../host/history.ts";
import { errorText } from "../../log/error_text.ts";
import { SILENT } from "../../log/log.ts";
import { printableIn, wholeLine } from "../../log/printable.ts";
import { familyOf, formatPrefix, type Prefix } from "../../model/address.ts";
import { agentLockPath } from "../../pods/agent_lock.ts";
import { readSubnetEnv, type SubnetEnv } from "../../pods/subnet_env.ts";
import { MAX_SUBNET_FILE_BYTES } from "../../pods/subnet_file.ts";
import { agentFiles, fileSteps, type NamedFile, planManagerFiles } from "../cleanup/cleanup_files.ts";
import type { CleanupPlan, CleanupStep } from "../cleanup/cleanup_step.ts";
import { EXIT, type Place } from "../command.ts";
import { commandHelp, readCommandWords } from "../command_flags.ts";
import { openDoctorPlace } from "../doctor/doctor.ts";
import type { DoctorPlace } from "../doctor/place.ts";
import { refuseAnyAgent } from "./hand_back_agent.ts";
import { unknownToFlanneld } from "./hand_back_backend.ts";
import { planLease } from "./hand_back_lease.ts";
import { planPods } from "./hand_back_pods.ts";
import {
  type Failure,
  foreseen,
  type HandBackReport,
  refusal,
  reportLines,
  VERB,
} from "./hand_back_report.ts";
import { planRoutes } from "./hand_back_routes.ts";
import { iptablesMode, planRules, type RuleMode } from "./hand_back_rules.ts";
import { HAND_BACK_USAGE, RULE_MODES } from "./usage.ts";

/** What is asked for, and where. */
interface Asked {
  readonly place: DoctorPlace;
  readonly rules: typeof RULE_MODES[number];
  readonly networksDir: string;
  readonly resultsDir: string;
  readonly isDryRun: boolean;
}

/** As flanneld makes it. */
const SUBNET_FILE_MODE = 0o644;
/** The line of the subnet file that flannel's does not have. */
const OWN_LINES = /^FLANNEL_BACKEND=.*\n?/gm;

/** Hands this host back to flannel: 1 if something is left that was to be handed back. */
export async function runHandBack(args: readonly string[], { output, signal }: Place): Promise<number> {
  const words = readCommandWords(args, HAND_BACK_USAGE);
  if (words === undefined) {
    output.say(commandHelp(HAND_BACK_USAGE));
    return EXIT.done;
  }
  const { values, agentArgs } = words;
  if (words.words.length > 0) {
    throw new UsageError(`Cannot read ${JSON.stringify(words.words[0])}: hand-back takes flags alone`);
  }
  const rules = RULE_MODES.find((mode) => mode === values.get("rules"));
  if (rules === undefined) {
    throw new UsageError(
      `Cannot read --rules=${values.get("rules")}: it must be one of ${RULE_MODES.join(", ")}`,
    );
  }
  const isDryRun = values.get("dry-run") === true;
  using place = openDoctorPlace(agentArgs, Deno.env.toObject(), { signal });
  const text = (name: string) => values.get(name) as string;
  const asked = {
    place,
    rules,
    networksDir: text("networks-dir"),
    resultsDir: text("results-dir"),
    isDryRun,
  };
  const isJson = values.get("json") === true;
  const report = await handBack(asked, { signal }).catch((error) => {
    if (!isJson || signal.aborted) throw error;
    return refusal(error, isDryRun);
  });
  if (isJson) output.say(JSON.stringify(printableIn({ ...report }), undefined, 2));
  else for (const line of reportLines(report)) output.say(wholeLine(line));
  if (report.failed.length > 0) return EXIT.failed;
  if (values.get("stay") === true && !signal.aborted) {
    const { promise, resolve } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
  }
  return EXIT.done;
}

/**
 * Carries out what is planned, under the claims of an agent, so that none starts meanwhile. A step that fails is told,
 * and the others are done; but what says that Loden was here stays until nothing is left.
 *
 * @throws {Error} If an agent runs, or it is not known what flanneld would have here.
 */
async function handBack(asked: Asked, { signal }: { readonly signal: AbortSignal }): Promise<HandBackReport> {
  const { place, isDryRun } = asked;
  const { options, client } = place;
  await refuseAnyAgent(VERB, options, signal);
  // Without it a plan would be a wrong one, as not all can be seen.
  requirePrivilege(client);
  using stack = new DisposableStack();
  const found = await planAll(asked, stack, { signal });
  const isNothing = found.steps.length + found.last.length + found.unseen.length === 0;
  if (isDryRun || isNothing) {
    const { done, failed } = foreseen([...found.steps, ...found.last]);
    const kept = isNothing ? [] : found.kept;
    return { dryRun: isDryRun, done, failed: [...found.unseen, ...failed], kept };
  }
  const { subnetFilePath } = options;
  const claims = stack.use(new AgentClaims({ libc: place.libc, log: SILENT, subnetFilePath }));
  const rival = claims.take(found.claims);
  if (rival !== undefined) throw new Error(`Cannot ${VERB} this host: ${rival}`);
  // An agent may have been here since it was looked.
  const { steps, last, kept, unseen } = await planAll(asked, stack, { signal });
  const done: CleanupStep[] = [];
  const failed: Failure[] = [...unseen];
  for (const step of [...steps, ...last]) {
    signal.throwIfAborted();
    const { verb, object } = step;
    if (failed.length > 0 && last.includes(step)) {
      failed.push({ verb, object, reason: "it goes when all else is done" });
      continue;
    }
    try {
      await step.run();
      done.push(step);
    } catch (error) {
      signal.throwIfAborted();
      failed.push({ verb, object, reason: errorText(error) });
    }
  }
  if (failed.length === 0) removeIfThere(agentLockPath(subnetFilePath));
  return { dryRun: false, done: done.map(({ verb, object }) => ({ verb, object })), failed, kept };
}

/** All that is to be done, in order. */
interface Whole extends CleanupPlan {
  /** What goes when all else is done: by it the next run knows that there is something left. */
  readonly last: readonly CleanupStep[];
  /** What could not be looked at. */
  readonly unseen: readonly Failure[];
  readonly claims: Parameters<AgentClaims["take"]>[0];
}

async function planAll(
  asked: Asked,
  stack: DisposableStack,
  { signal }: { readonly signal: AbortSignal },
): Promise<Whole> {
  const { place, networksDir, resultsDir } = asked;
  const { options, environment, client, libc } = place;
  const { subnetFilePath } = options;
  const text = readIfThere(subnetFilePath, MAX_SUBNET_FILE_BYTES);
  const managers = planManagerFiles(place.files.root, networksOfOthers(libc));
  const last = [...managers.steps, ...lastSteps(place)];
  if (text === undefined) {
    if (last.length === 0) return { ...NOTHING, claims: { networks: [], linkNames: [] } };
    throw new Error(
      `Cannot ${VERB} this host: there is no ${subnetFilePath}, which says what it has; start the agent once more, or ` +
        "remove all with 'loden cleanup --node'",
    );
  }
  const env = readSubnetEnv(text, subnetFilePath);
  requireFlannels(env);
  const { networks } = env;
  const names = new Set(networks.map(formatPrefix));
  const former = (readHistory(subnetFilePath).applied?.networks ?? [])
    .filter((network) => !names.has(formatPrefix(network)));
  const unseen: Failure[] = [];
  const look = async <T extends CleanupPlan>(object: string, plan: () => T | Promise<T>) => {
    try {
      return await plan();
    } catch (error) {
      signal.throwIfAborted();
      unseen.push({ verb: "look for", object, reason: errorText(error) });
      return undefined;
    }
  };
  const pods = await look("pods", () => planPods({ options, environment, env, networksDir, resultsDir }));
  const routes = await look("routes", () => planRoutes(client, networks, former));
  const { mode, doubts } = await modeOf(asked);
  const rules = await look("rules", () => planRules(libc, wishesOf(place, env, former), mode));
  const files = subnetFileSteps(subnetFilePath, text);
  const claims = { networks, linkNames: [] };
  // What flanneld has may be there already, and what is known of it may be gone: then pods alone are looked after.
  const isHere = rules?.hasOwn || files.length > 0 || last.length > 0 || (routes?.steps.length ?? 0) > 0;
  if (!isHere) return { ...NOTHING, ...pods, unseen, claims };
  const unknown = await unknownToFlanneld(place);
  const lease = await planLease(options, { client, environment, stack, signal });
  const whole = [pods, routes, rules, lease, {
    steps: files,
    kept: [...unknown, ...doubts, ...managers.kept],
  }].filter((
    part,
  ) => part !== undefined);
  return {
    steps: whole.flatMap(({ steps }) => steps),
    kept: whole.flatMap(({ kept }) => kept),
    last,
    unseen,
    claims,
  };
}

/**
 * What goes last of all is what tells the next run how to go on: the flags. The lock is not among it, as it is held
 * meanwhile.
 */
function lastSteps({ options }: DoctorPlace): CleanupStep[] {
  const lock = agentLockPath(options.subnetFilePath);
  const files = agentFiles({ options }).filter(([, path]) => path !== lock);
  const isFlags = ([, path]: NamedFile) => path === notedFlagsPath(options.subnetFilePath);
  return fileSteps([...files.filter((file) => !isFlags(file)), ...files.filter(isFlags)]);
}

const NOTHING: Omit<Whole, "claims"> = { steps: [], kept: [], last: [], unseen: [] };

/** What turns the subnet file into one that flanneld might have written. */
function subnetFileSteps(path: string, text: string): CleanupStep[] {
  const plain = text.replace(OWN_LINES, "");
  if (plain === text) return [];
  const run = () => void writeIfOther(path, plain, SUBNET_FILE_MODE);
  return [{ verb: "turn", object: `subnet file ${path} into flanneld's`, run }];
}

/** @throws {Error} If flannel has had nothing of the kind for years. */
function requireFlannels({ backendType }: SubnetEnv): void {
  if (backendType !== "aws-vpc") return;
  throw new Error(
    `Cannot ${VERB} this host: flannel has no backend aws-vpc since 0.20; run Loden with another one first`,
  );
}

/** What is wished of the packet filter, as a flanneld of the same flags would. */
function wishesOf(
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
async function modeOf({ place, rules }: Asked): Promise<{ mode: RuleMode; doubts: readonly string[] }> {
  if (rules !== "auto") return { mode: rules, doubts: [] };
  const mode = iptablesMode(place.libc);
  try {
    const { text } = await place.config;
    const { EnableNFTables } = foldKeys(JSON.parse(text), ["EnableNFTables"]).members;
    return { mode: EnableNFTables === true ? "nftables" : mode, doubts: [] };
  } catch {
    const doubt =
      `the network configuration, which can't be read: that it does not ask for nftables is supposed ` +
      "(--rules says otherwise)";
    return { mode, doubts: [doubt] };
  }
}
