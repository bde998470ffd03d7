import { printableIn, wholeLine } from "../../log/printable.ts";
import { commandHelp, readCommandWords } from "../command_flags.ts";
import { UsageError } from "../../config/usage_error.ts";
import { agentFlags, readGivenFlags, readNoted } from "../agent_flags.ts";
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
    if (!isJson) deps.print(wholeLine(findingLine(finding)));
  }
  if (isJson) deps.print(JSON.stringify(printableIn(reportOf(findings)), undefined, 2));
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
  const given = readGivenFlags("doctor", agentArgs, variables);
  return new DoctorPlace({ ...options, ...agentFlags(given, readNoted(given)) });
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
