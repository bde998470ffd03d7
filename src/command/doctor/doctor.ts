import { notedFlagsPath, readNotedFlags, withGiven } from "../../agent/noted_flags.ts";
import { FLAGS } from "../../config/flags.ts";
import { readFlags } from "../../config/parse_flags.ts";
import { parseOptions } from "../../config/options.ts";
import { escapedIn } from "../../log/printable.ts";
import { commandHelp, readCommandWords } from "../command_flags.ts";
import { UsageError } from "../../config/usage_error.ts";
import { AGENT_CHECKS } from "./agent_checks.ts";
import { type Check, runChecks } from "./check.ts";
import type { Finding, Verdict } from "./finding.ts";
import { DoctorPlace } from "./place.ts";
import { FIREWALL_CHECKS } from "./firewall_checks.ts";
import { KERNEL_CHECKS } from "./kernel_checks.ts";
import { LIMIT_CHECKS } from "./limit_checks.ts";
import { LINK_CHECKS } from "./link_checks.ts";
import { MANAGER_CHECKS } from "./manager_checks.ts";
import { POD_CHECKS } from "./pod_checks.ts";
import { REGISTRY_CHECKS } from "./registry_checks.ts";
import { DOCTOR_USAGE, type DoctorDeps } from "./usage.ts";

/** Everything that is looked at, in the order in which it is told: the cause of others first. */
export const CHECKS: readonly Check[] = [
  ...AGENT_CHECKS,
  ...REGISTRY_CHECKS,
  ...KERNEL_CHECKS,
  ...LINK_CHECKS,
  ...FIREWALL_CHECKS,
  ...POD_CHECKS,
  ...MANAGER_CHECKS,
  ...LIMIT_CHECKS,
];

const MARKS: Readonly<Record<Verdict, string>> = {
  ok: "ok   ",
  wrong: "WRONG",
  doubtful: "?    ",
  unseen: "-    ",
};

/** The line of one finding: verdict, check, what is, what to do. */
export function findingLine({ verdict, check, text, remedy }: Finding): string {
  return `${MARKS[verdict]} ${check}: ${text}${remedy === undefined ? "" : `; ${remedy}`}`;
}

/**
 * Looks at what the agent needs of this host, or of a cloud, and says what is wrong. Changes nothing.
 *
 * @returns Whether nothing is wrong.
 * @throws {UsageError} If a person must change the command line.
 */
export async function runDoctor(
  args: readonly string[],
  deps: DoctorDeps,
  options: { readonly signal: AbortSignal; readonly root?: string },
): Promise<boolean> {
  const read = readCommandWords(args, DOCTOR_USAGE);
  if (read === undefined) {
    deps.print(commandHelp(DOCTOR_USAGE));
    return true;
  }
  const { values, words, agentArgs } = read;
  const [word] = words;
  if (word !== undefined) throw new UsageError(`Cannot read "${word}": doctor takes flags alone`);
  if (values.get("aws") === true) {
    const { runAwsDoctor } = await import("./aws_doctor.ts");
    return await runAwsDoctor(agentArgs, deps, options);
  }
  using place = openDoctorPlace(agentArgs, deps.environment, options);
  const findings: Finding[] = [];
  const isJson = values.get("json") === true;
  for await (const finding of runChecks(CHECKS, place, options)) {
    findings.push(finding);
    if (!isJson) deps.print(findingLine(finding));
  }
  if (isJson) deps.print(JSON.stringify(escapedIn(reportOf(findings)), undefined, 2));
  else deps.print(summary(findings));
  return isWell(findings);
}

/**
 * The host as an agent with these flags would see it; what is not given is as the last agent has noted it.
 *
 * @throws {UsageError} If a person must change the command line.
 */
export function openDoctorPlace(
  agentArgs: readonly string[],
  variables: Readonly<Record<string, string | undefined>>,
  options: { readonly signal: AbortSignal; readonly root?: string },
): DoctorPlace {
  // What is given may only make sense with what is noted.
  const outcome = readFlags(agentArgs, variables, FLAGS);
  const subnetFilePath = outcome.kind === "values" ? outcome.reading.values.get("subnet-file") : undefined;
  const noted = typeof subnetFilePath === "string"
    ? readNotedFlags(notedFlagsPath(subnetFilePath))
    : undefined;
  // The agent was given its variables as flags; a command's own are stronger.
  const own = Object.keys(variables).filter((name) => name.startsWith(VARIABLE_PREFIX)).length > 0;
  const args = own ? agentArgs : withGiven(noted?.args ?? [], agentArgs);
  const environment = { ...noted?.environment, ...variables };
  const read = readOptions(args, environment);
  const leftOut = own ? [] : (noted?.leftOut ?? []).filter((flag) => !read.given.has(flag.slice(1)));
  return new DoctorPlace({ ...options, ...read, environment, leftOut });
}

const VARIABLE_PREFIX = "FLANNELD_";

function readOptions(args: readonly string[], environment: Readonly<Record<string, string | undefined>>) {
  const outcome = parseOptions(args, environment);
  if (outcome.kind !== "run") throw new UsageError("Cannot run doctor: the agent's flags ask for no agent");
  return { options: outcome.options, given: new Set(outcome.given.keys()) };
}

/** What `--json` prints. */
export function reportOf(
  findings: readonly Finding[],
): { readonly well: boolean; readonly findings: readonly Finding[] } {
  return { well: isWell(findings), findings };
}

function isWell(findings: readonly Finding[]): boolean {
  return findings.every(({ verdict }) => verdict !== "wrong");
}

function summary(findings: readonly Finding[]): string {
  const count = (verdict: Verdict) => findings.filter((finding) => finding.verdict === verdict).length;
  const [wrong, doubtful, unseen] = [count("wrong"), count("doubtful"), count("unseen")];
  const what = wrong === 0 ? "nothing is wrong" : `${wrong} ${wrong === 1 ? "thing is" : "things are"} wrong`;
  const rest = [
    ...doubtful === 0 ? [] : [`${doubtful} in doubt (?)`],
    ...unseen === 0 ? [] : [`${unseen} not looked at (-)`],
  ];
  return `\n${[what, ...rest].join(", ")}`;
}
