import type { Finding, Verdict } from "../../src/command/doctor/finding.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { agentCommand, until } from "../double/overlay_rig.ts";

const CHILD = new URL("../command/doctor/doctor_child.ts", import.meta.url).pathname;
/**
 * What is this machine's and not the lab's: in a container of a CI nobody may set the clock.
 */
const OF_THE_MACHINE = ["clock"];

/** What the doctor said. */
export interface DoctorWords {
  readonly code: number;
  readonly findings: readonly Finding[];
  readonly durationMs: number;
}

/** What an agent of a host is started with, without the program. */
export function flagsOf(host: LabHost, extraFlags: readonly string[] = []): readonly string[] {
  return host.agentStart(extraFlags).command.slice(agentCommand.length);
}

/** Runs the doctor on a host with its agent's flags; `root` holds the files of the host's own. */
export async function askDoctor(
  host: LabHost,
  { root, extraFlags = [], environment = {}, wrap = [], withMachine = false }: {
    readonly root: string;
    /** What starts the program. */
    readonly wrap?: readonly string[];
    /** Whether what is this machine's is told too. */
    readonly withMachine?: boolean;
    readonly extraFlags?: readonly string[];
    readonly environment?: Readonly<Record<string, string>>;
  },
): Promise<DoctorWords> {
  const startedMs = performance.now();
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const command = [Deno.execPath(), "run", "--quiet", "--no-check", "-A", CHILD];
  const result = await host.exec(
    "env",
    ...variables,
    ...wrap,
    ...command,
    root,
    "--json",
    ...flagsOf(host, extraFlags),
  );
  const durationMs = performance.now() - startedMs;
  if (!result.stdout.startsWith("{")) {
    throw new Error(`Cannot read the doctor: ${result.stdout}${result.stderr}`);
  }
  const { findings } = JSON.parse(result.stdout) as { readonly findings: readonly Finding[] };
  return {
    code: result.code,
    findings: findings.filter(({ check }) => withMachine || !OF_THE_MACHINE.includes(check)),
    durationMs,
  };
}

/** Waits until the agent of a host can be asked by commands, and has noted what it was started with. */
export async function untilAsked(host: LabHost): Promise<void> {
  await until("ask the agent", async () => {
    const { isSocket } = await Deno.stat(`${host.directory}/loden.sock`).catch(() => ({ isSocket: false }));
    const hasNoted = await Deno.stat(`${host.directory}/flags.json`).then(() => true, () => false);
    return isSocket && hasNoted || undefined;
  });
}

/** `VERDICT CHECK: TEXT` of all that is not ok. */
export function notOk({ findings }: DoctorWords): string[] {
  return findings.filter(({ verdict }) => verdict !== "ok").map(({ verdict, check, text }) =>
    `${verdict} ${check}: ${text}`
  );
}

/** Whether a check has a verdict whose text holds these words. */
export function says({ findings }: DoctorWords, check: string, verdict: Verdict, words: string): boolean {
  return findings.some((finding) =>
    finding.check === check && finding.verdict === verdict && finding.text.includes(words)
  );
}
