import { parseOptions } from "../../config/options.ts";
import { UsageError } from "../../config/usage_error.ts";
import { escaped } from "../../log/printable.ts";
import { notedFlagsPath, readNotedFlags, withGiven } from "../../agent/noted_flags.ts";
import { countChanges, type HostPlan } from "../../model/host_plan.ts";
import { askAgent } from "../agent_door.ts";
import { EXIT, type Place } from "../command.ts";
import { commandHelp, readCommandWords } from "../command_flags.ts";
import { PLAN_USAGE } from "./usage.ts";
import { planText } from "./plan_text.ts";

/** What a plan ends with. */
const CHANGES = 2;
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
    output.say(JSON.stringify({ changes: countChanges(plan), ...plan }, null, 2));
  } else for (const line of planText(plan)) output.say(escaped(line));
  if (countChanges(plan) > 0) return CHANGES;
  return plan.stages.some(({ unseen }) => unseen !== undefined) ? EXIT.failed : EXIT.done;
}

async function planOf(
  agentArgs: readonly string[],
  { isWhole, remark }: { readonly isWhole: boolean; readonly remark: (text: string) => void },
  { signal }: { readonly signal: AbortSignal },
): Promise<HostPlan> {
  const environment = Deno.env.toObject();
  const { subnetFilePath } = optionsOf(agentArgs, environment);
  const target = isWhole ? "/plan?all" : "/plan";
  const answer = await askAgent(subnetFilePath, target, { timeoutMs: PATIENCE_MS });
  if (answer !== undefined) return checked(answer);
  const noted = readNotedFlags(notedFlagsPath(subnetFilePath));
  const options = optionsOf(withGiven(noted?.args ?? [], agentArgs), environment);
  remark(`no agent answers at ${subnetFilePath}: planned is what one would do that is started now`);
  if (noted !== undefined && noted.leftOut.length > 0) {
    remark(
      `the last agent had ${noted.leftOut.join(", ")}, which is noted nowhere: give it again if it is needed`,
    );
  }
  const { planAlone } = await import("../../agent/plan/plan_alone.ts");
  return await planAlone(options, { environment: { ...noted?.environment, ...environment }, isWhole }, {
    signal,
  });
}

function optionsOf(args: readonly string[], environment: Readonly<Record<string, string>>) {
  const outcome = parseOptions(args, environment);
  if (outcome.kind !== "run") throw new UsageError("Cannot plan: the agent's flags ask for no agent");
  return outcome.options;
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
