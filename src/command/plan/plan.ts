import { UsageError } from "../../config/usage_error.ts";
import { printableIn, wholeLine } from "../../log/printable.ts";
import { countChanges, type HostPlan } from "../../model/host_plan.ts";
import { askAgent } from "../agent_door.ts";
import { agentFlags, NAME_REGISTRY, namesRegistry, readGivenFlags, readNoted } from "../agent_flags.ts";
import { EXIT, type Place } from "../command.ts";
import { commandHelp, readCommandWords } from "../command_flags.ts";
import { PLAN_USAGE } from "./usage.ts";
import { planText } from "./plan_text.ts";

/** What a plan ends with. */
const CHANGES = 2;
/** An agent that works answers what is quickly said within milliseconds. */
const SILENCE_MS = 1500;
/** A plan of a large host takes as long as a pass. */
const PATIENCE_MS = 10_000;

/** Says what would change on this host. */
export async function runPlan(args: readonly string[], { output, signal }: Place): Promise<number> {
  const asked = readCommandWords(args, PLAN_USAGE);
  if (asked === undefined) {
    output.say(commandHelp(PLAN_USAGE));
    return EXIT.done;
  }
  const { values, words, agentArgs } = asked;
  if (words.length > 0) {
    throw new UsageError(`Cannot read ${JSON.stringify(words[0])}: plan takes flags alone`);
  }
  const isWhole = values.get("all") === true;
  const plan = await planOf(agentArgs, { isWhole, remark: (text) => output.errors.push(text) }, { signal });
  if (values.get("json") === true) {
    output.say(JSON.stringify(printableIn({ changes: countChanges(plan), ...plan }), null, 2));
  } else for (const line of planText(plan)) output.say(wholeLine(line));
  if (countChanges(plan) > 0) return CHANGES;
  return plan.stages.some(({ unseen }) => unseen !== undefined) ? EXIT.failed : EXIT.done;
}

async function planOf(
  agentArgs: readonly string[],
  { isWhole, remark }: { readonly isWhole: boolean; readonly remark: (text: string) => void },
  { signal }: { readonly signal: AbortSignal },
): Promise<HostPlan> {
  const given = readGivenFlags("plan", agentArgs, Deno.env.toObject());
  const { subnetFilePath } = given;
  // One that stands still is told as soon as by any other command, whatever its plan may take.
  if (await askAgent(subnetFilePath, "/status", { timeoutMs: SILENCE_MS }) !== undefined) {
    const target = isWhole ? "/plan?all" : "/plan";
    const answer = await askAgent(subnetFilePath, target, { timeoutMs: PATIENCE_MS });
    if (answer !== undefined) return checked(answer);
  }
  const read = readNoted(given);
  const { fault } = read;
  if (fault !== undefined && !namesRegistry(given)) {
    // By defaults it would be another network's.
    throw new Error(`${fault.message}; give ${NAME_REGISTRY}`, { cause: fault });
  }
  const { options, environment, leftOut } = agentFlags(given, read);
  remark(`no agent answers at ${subnetFilePath}: planned is what one would do that is started now`);
  if (fault !== undefined) remark(`${fault.message}: planned is with those alone that are given`);
  if (leftOut.length > 0) {
    remark(`the last agent had ${leftOut.join(", ")}, which is noted nowhere: give it again if it is needed`);
  }
  const { planAlone } = await import("../../agent/plan/plan_alone.ts");
  return await planAlone(options, { environment, isWhole }, { signal });
}

/** @throws {Error} If what the agent says is no plan, as that of another version. */
function checked(answer: unknown): HostPlan {
  const { source, stages, notes } = answer as HostPlan;
  const isPlan = typeof source === "string" && Array.isArray(notes) && Array.isArray(stages) &&
    stages.every(({ stage, changes, total, notes }) =>
      typeof stage === "string" && Array.isArray(changes) && typeof total === "number" && Array.isArray(notes)
    );
  if (!isPlan) throw new Error("Cannot read the agent's plan: it is of another version");
  return answer as HostPlan;
}
