import { join } from "node:path";
import { notedFlagsPath } from "../../agent/noted_flags.ts";
import { formatKernelVersion, runningKernel } from "../../host/kernel_version.ts";
import { historyPath } from "../../host/history.ts";
import { LinkedAbort } from "../../loop/linked_abort.ts";
import { VERSION } from "../../model/version.ts";
import { isAgentLockHeld } from "../../pods/agent_lock.ts";
import { agentStatePath } from "../../pods/agent_state.ts";
import { readHead } from "../../registry/http/read_head.ts";
import { askAgent, NO_DOOR } from "../agent_door.ts";
import { runChecks } from "../doctor/check.ts";
import { CHECKS, reportOf } from "../doctor/doctor.ts";
import type { DoctorPlace } from "../doctor/place.ts";
import { allowedConflist, allowedNetConf, allowedSubnetFile } from "./allow.ts";
import type { Entry } from "./collect.ts";
import { withoutQuotations } from "./redactor.ts";

const AGENT_MS = 2500;
const PLAN_MS = 4500;
/** The doctor's own end is before this. */
const DOCTOR_MS = 5000;
const DOCTOR_LIMIT_MS = 5500;
const METRICS_MS = 2000;
const MAX_METRICS_BYTES = 512 * 1024;
/** Of a log the end is of interest. */
const LOG_BYTES = 256 * 1024;

/** What is known of a host beside its kernel: its agent, its files, what the doctor finds. */
export function hostEntries(signal: AbortSignal): readonly Entry[] {
  return [
    { name: "version.txt", collect: versions },
    { name: "agent/status.json", collect: (place) => asked(place, "/status", AGENT_MS) },
    { name: "agent/peers.json", collect: (place) => asked(place, "/peers", AGENT_MS) },
    { name: "agent/plan.json", limitMs: PLAN_MS + 500, collect: (place) => asked(place, "/plan", PLAN_MS) },
    { name: "agent/metrics.txt", collect: (place) => metrics(place, signal) },
    { name: "doctor.json", limitMs: DOCTOR_LIMIT_MS, collect: (place) => doctor(place, signal) },
    file("files/subnet.env", ({ options }) => options.subnetFilePath, allowedSubnetFile),
    file("files/agent.json", ({ options }) => agentStatePath(options.subnetFilePath), withoutQuotations),
    file("files/history.json", ({ options }) => historyPath(options.subnetFilePath), withoutQuotations),
    file("files/flags.json", ({ options }) => notedFlagsPath(options.subnetFilePath), (text) => text),
    { name: "files/net-conf.json", collect: netConf },
    { name: "files/conflists.txt", collect: conflists },
    { name: "files/agent.log", collect: log },
  ];
}

function versions(place: DoctorPlace): string {
  const read = (path: string) => place.libc.readSysctl(path);
  const kernel = runningKernel(read);
  return [
    `loden ${VERSION}`,
    `collected ${new Date().toISOString()}`,
    `kernel ${kernel === undefined ? "unknown" : formatKernelVersion(kernel)}`,
    place.kernelFile("/proc/version") ?? "",
    `uptime ${place.kernelFile("/proc/uptime")?.split(" ")[0] ?? "unknown"} s`,
    `architecture ${Deno.build.arch}`,
    `root ${place.isRoot ? "yes" : "no"}`,
    "",
  ].join("\n");
}

async function asked({ options }: DoctorPlace, target: string, timeoutMs: number): Promise<string> {
  const answer = await askAgent(options.subnetFilePath, target, { timeoutMs });
  if (answer === undefined) {
    throw new Error(
      isAgentLockHeld(options.subnetFilePath)
        ? `${NO_DOOR}: its socket leads to nobody, it still starts, or it is of another version`
        : "no agent runs on this host",
    );
  }
  return withoutQuotations(print(answer));
}

async function metrics({ options }: DoctorPlace, outer: AbortSignal): Promise<string> {
  if (options.health === undefined) throw new Error("the agent has no port for its health (-healthz-port)");
  const { hostname, port } = options.health;
  const local = hostname === "0.0.0.0" ? "127.0.0.1" : hostname === "::" ? "::1" : hostname;
  using abort = new LinkedAbort(outer);
  abort.limit(METRICS_MS, new Error(`it has not answered within ${METRICS_MS / 1000} s`));
  const url = `http://${local.includes(":") ? `[${local}]` : local}:${port}/metrics`;
  const response = await fetch(url, { signal: abort.signal, redirect: "error" });
  return await readHead(response, MAX_METRICS_BYTES, abort.signal);
}

async function doctor(place: DoctorPlace, signal: AbortSignal): Promise<string> {
  const findings = await Array.fromAsync(runChecks(CHECKS, place, { signal, allMs: DOCTOR_MS }));
  return withoutQuotations(print(reportOf(findings)));
}

/** A file that the agent writes, as far as it is allowed. */
function file(
  name: string,
  pathOf: (place: DoctorPlace) => string,
  allowed: (text: string) => string,
): Entry {
  return {
    name,
    collect: async (place) => {
      const path = pathOf(place);
      const text = await place.files.named(path);
      if (text === undefined) throw new Error(`${path} is not there`);
      return allowed(text);
    },
  };
}

async function netConf(place: DoctorPlace): Promise<string> {
  const { text } = await place.config;
  return allowedNetConf(text);
}

async function conflists(place: DoctorPlace): Promise<string> {
  const { folder, files, ownName } = await place.conflists;
  const parts = files.map(({ name, text, fault }) => {
    const head = `${join(folder, name)}${name === ownName ? " (ours)" : ""}:`;
    if (text === undefined) return `${head} not read: ${fault ?? "it is gone"}\n`;
    try {
      return `${head}\n${allowedConflist(text)}`;
    } catch {
      return `${head} it is no JSON\n`;
    }
  });
  return parts.length === 0 ? `${folder} has none\n` : parts.join("\n");
}

/** The end of the agent's log, from a line's beginning. */
async function log({ options }: DoctorPlace): Promise<string> {
  const { logFilePath: path } = options;
  if (path === undefined) {
    throw new Error("the agent logs to standard error: see `journalctl -u UNIT` or `kubectl logs`");
  }
  // Of a file system that hangs another thread waits here.
  const { isFile, size } = await Deno.stat(path);
  if (!isFile) throw new Error(`${path} is no regular file`);
  using opened = await Deno.open(path);
  await opened.seek(Math.max(size - LOG_BYTES, 0), Deno.SeekMode.Start);
  const bytes = new Uint8Array(LOG_BYTES);
  let length = 0;
  for (let read = 1; length < LOG_BYTES && read > 0; length += read) {
    read = await opened.read(bytes.subarray(length)) ?? 0;
  }
  const text = new TextDecoder().decode(bytes.subarray(0, length));
  return withoutQuotations(size > LOG_BYTES ? text.slice(text.indexOf("\n") + 1) : text);
}

function print(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
