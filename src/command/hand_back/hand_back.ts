import { AgentClaims } from "../../agent/agent_claim.ts";
import { networksOfOthers } from "../../agent/other_agents.ts";
import { notedFlagsPath } from "../../agent/noted_flags.ts";
import { requirePrivilege } from "../../agent/preflight.ts";
import { UsageError } from "../../config/usage_error.ts";
import { isFile, removeIfThere } from "../../file/read_file.ts";
import { errorText } from "../../log/error_text.ts";
import { SILENT } from "../../log/log.ts";
import { printableIn, wholeLine } from "../../log/printable.ts";
import { aborted, pause } from "../../loop/pause.ts";
import type { Prefix } from "../../model/address.ts";
import { agentLockPath } from "../../pods/agent_lock.ts";
import type { SubnetEnv } from "../../pods/subnet_env.ts";
import { agentFiles, fileSteps, type NamedFile, planManagerFiles } from "../cleanup/cleanup_files.ts";
import type { CleanupPlan, CleanupStep } from "../cleanup/cleanup_step.ts";
import { EXIT, type Place } from "../command.ts";
import { commandHelp, readCommandWords } from "../command_flags.ts";
import { openDoctorPlace } from "../doctor/doctor.ts";
import type { DoctorPlace } from "../doctor/place.ts";
import { refuseAnyAgent } from "./hand_back_agent.ts";
import { unknownToFlanneld } from "./hand_back_backend.ts";
import { readOwnEnv, subnetFileSteps } from "./hand_back_env.ts";
import { planLease } from "./hand_back_lease.ts";
import { findLeft } from "./hand_back_left.ts";
import { planPods, type PodsPlan } from "./hand_back_pods.ts";
import {
  type Failure,
  foreseen,
  type HandBackReport,
  refusal,
  reportLines,
  VERB,
} from "./hand_back_report.ts";
import { planRoutes } from "./hand_back_routes.ts";
import { planRules } from "./hand_back_rules.ts";
import { modeOf, wishesOf } from "./hand_back_wishes.ts";
import { HAND_BACK_USAGE, RULE_MODES } from "./usage.ts";

/** What is asked for, and where. */
interface Asked {
  readonly place: DoctorPlace;
  readonly rules: typeof RULE_MODES[number];
  readonly networksDir: string;
  readonly resultsDir: string;
  readonly isDryRun: boolean;
}

/** Why a step is not done that comes after a signal. */
const ENDED = "it was asked to end before";
/** A pod is attached within this time by a runtime that has read a conflist before it was turned. */
const LATE_MS = 1000;

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
    // Who waits for the end of this must not take it for done.
    const fault = signal.aborted
      ? new Error(`Cannot ${VERB} this host: ${ENDED} anything was done; run it again`)
      : error;
    if (isJson) return refusal(fault, isDryRun);
    throw fault;
  });
  if (isJson) output.say(JSON.stringify(printableIn({ ...report }), undefined, 2));
  else for (const line of reportLines(report)) output.say(wholeLine(line));
  if (report.failed.length > 0) return EXIT.failed;
  if (values.get("stay") === true) await aborted(signal);
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
  const whole = await planAll(asked, stack, { signal });
  const { done, failed } = await carryOut(whole, { signal });
  if (failed.length === 0) removeIfThere(agentLockPath(subnetFilePath));
  return {
    dryRun: false,
    done: done.map(({ verb, object }) => ({ verb, object })),
    failed,
    kept: whole.kept,
  };
}

/** Does what is planned, and looks for pods once more; what goes last goes only when all else is done. */
async function carryOut(
  { steps, last, pods, unseen }: Whole,
  { signal }: { readonly signal: AbortSignal },
): Promise<{ readonly done: readonly CleanupStep[]; readonly failed: readonly Failure[] }> {
  const done: CleanupStep[] = [];
  const failed: Failure[] = [...unseen];
  const run = async (step: CleanupStep) => {
    const { verb, object } = step;
    const fail = (reason: string) => void failed.push({ verb, object, reason });
    if (signal.aborted) return fail(ENDED);
    try {
      await step.run();
      done.push(step);
    } catch (error) {
      fail(signal.aborted ? ENDED : errorText(error));
    }
  };
  for (const step of steps) await run(step);
  if (pods?.turns) await pause(LATE_MS, { signal });
  try {
    for (const step of pods?.late() ?? []) {
      if (!failed.some(({ object }) => object === step.object)) await run(step);
    }
  } catch (error) {
    failed.push({ verb: "look for", object: "pods", reason: errorText(error) });
  }
  for (const step of last) {
    const { verb, object } = step;
    if (failed.length > 0) failed.push({ verb, object, reason: "it goes when all else is done" });
    else await run(step);
  }
  return { done, failed };
}

/** All that is to be done, in order. */
interface Whole extends CleanupPlan {
  /** What goes when all else is done: by it the next run knows that there is something left. */
  readonly last: readonly CleanupStep[];
  /** How pods are found that come meanwhile; absent where there are none to look for. */
  readonly pods?: PodsPlan | undefined;
  /** What could not be looked at, or can't be done whatever is tried. */
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
  const managers = planManagerFiles(place.files.root, networksOfOthers(libc));
  const last = [...managers.steps, ...lastSteps(place)];
  const own = readOwnEnv(options);
  const unseen: Failure[] = [];
  const look = async <T>(object: string, plan: () => T | Promise<T>) => {
    try {
      return await plan();
    } catch (error) {
      signal.throwIfAborted();
      unseen.push({ verb: "look for", object, reason: errorText(error) });
      return undefined;
    }
  };
  const lookForLeft = async (subnets?: readonly Prefix[]) => {
    const places = { options, environment, libc, client, subnets };
    unseen.push(...await look("what is left", () => findLeft({ ...places, nft: place.nft })) ?? []);
  };
  if (typeof own === "string") {
    if (last.length > 0) {
      throw new Error(
        `Cannot ${VERB} this host: ${own}; start the agent once more, name the subnet file that it had with ` +
          "-subnet-file, or remove all with 'loden cleanup --node'",
      );
    }
    await lookForLeft();
    return { ...NOTHING, unseen, claims: { networks: [], linkNames: [] } };
  }
  const { env, former, text } = own;
  requireFlannels(env);
  const { networks } = env;
  const pods = await look("pods", () => planPods({ options, environment, env, networksDir, resultsDir }));
  const routes = await look("routes", () => planRoutes(client, networks, former));
  const { mode, doubts } = await modeOf(asked);
  const rules = await look("rules", () => planRules(libc, wishesOf(place, env, former), mode));
  unseen.push(...routes?.refused ?? []);
  const files = subnetFileSteps(options.subnetFilePath, text);
  const claims = { networks, linkNames: [] };
  // What flanneld has may be there already, and what is known of it may be gone: then pods alone are looked after. Files
  // that outlive a boot tell nothing of it.
  const isHere = rules?.hasOwn || files.length > 0 || isFile(notedFlagsPath(options.subnetFilePath)) ||
    (routes?.steps.length ?? 0) + (routes?.refused.length ?? 0) > 0;
  if (!isHere) {
    await lookForLeft(env.subnets);
    const isTold = (one: string) => unseen.some(({ object }) => one.startsWith(`${object}:`));
    const kept = (pods?.kept ?? []).filter((one) => !isTold(one));
    return { steps: pods?.steps ?? [], kept, last, pods, unseen, claims };
  }
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
    pods,
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

/** @throws {Error} If flannel has had nothing of the kind for years. */
function requireFlannels({ backendType }: SubnetEnv): void {
  if (backendType !== "aws-vpc") return;
  throw new Error(
    `Cannot ${VERB} this host: flannel has no backend aws-vpc since 0.20; run Loden with another one first`,
  );
}
