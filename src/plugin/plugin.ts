import { readText } from "../file/read_text.ts";
import { LogFile } from "../file/log_file.ts";
import { fileReason } from "../file/file_reason.ts";
import { jsonLog, type Log, type LogLevel } from "../log/log.ts";
import { LineQueue } from "../log/line_queue.ts";
import { pause, within } from "../loop/pause.ts";
import { fileIdentity } from "../linux/file_identity.ts";
import { agentStatePath, readAgentState } from "../pods/agent_state.ts";
import { CNI_CODE, CniError, formatCniError } from "../pods/cni_error.ts";
import { Delegates } from "./delegate.ts";
import { collectGarbage } from "./garbage.ts";
import { guessVersion, parseNetConf, versionOf } from "../pods/net_conf.ts";
import type { Host, Request } from "./request.ts";
import { readSettings, type Settings, type Variables } from "../pods/settings.ts";
import { MAX_SUBNET_FILE_BYTES } from "../pods/subnet_file.ts";
import { add, check, del, status } from "./verbs.ts";
import { type Invocation, readInvocation } from "./invocation.ts";
import { checkVersion, CNI_VERSIONS, DEFAULT_VERSION, formatVersions, type Verb } from "../pods/versions.ts";

/** What a runtime that starts the plugin gets back. */
export interface PluginOutcome {
  /** Nothing, or exactly one JSON document. */
  readonly stdout: string;
  /** 0, or 1 if the document is an error. */
  readonly exitCode: 0 | 1;
}

/** What the plugin needs of the process that it runs in. */
export interface PluginDeps {
  readonly variables: Variables;
  readonly readInput: () => Promise<string>;
  readonly host: (invocation: Invocation, settings: Settings) => Host;
}

/** More is no network configuration. */
const MAX_INPUT_BYTES = 16 << 20;
/** What is left to be logged at the end is given up after so long, if nobody takes it. */
const LAST_WORDS_MS = 500;
/** What detaches must go on with a configuration by which nothing can be attached. */
const FINDING: readonly Verb[] = ["DEL", "GC"];
const OWN_NETNS = "/proc/self/ns/net";

/** Does what the environment asks for. Never throws: every failure is a CNI error. */
export async function runPlugin(deps: PluginDeps): Promise<PluginOutcome> {
  let version: string = DEFAULT_VERSION;
  try {
    const invocation = readInvocation(deps.variables);
    if (invocation.verb === "VERSION") return { stdout: formatVersions(), exitCode: 0 };
    const text = await deps.readInput();
    version = guessVersion(text);
    const strictness = FINDING.includes(invocation.verb) ? "findable" : "whole";
    const conf = parseNetConf(text, strictness);
    checkVersion(versionOf(conf), invocation.verb);
    const settings = readSettings(deps.variables, strictness);
    const host = deps.host(invocation, settings);
    return { stdout: await answer({ invocation, conf, settings }, host), exitCode: 0 };
  } catch (error) {
    return { stdout: formatCniError(error, version), exitCode: 1 };
  }
}

async function answer(request: Request, host: Host): Promise<string> {
  switch (request.invocation.verb) {
    case "ADD":
      return await add(request, host);
    case "DEL":
      await del(request, host);
      return "";
    case "CHECK":
      await check(request, host);
      return "";
    case "STATUS":
      await status(request, host);
      return "";
    case "GC":
      await collectGarbage(request, host);
      return "";
    case "VERSION":
      return formatVersions();
  }
}

/** Runs the plugin in this process, as a container runtime has started it. Returns the exit code. */
export async function pluginMain(): Promise<number> {
  const variables = Deno.env.toObject();
  if (!variables.CNI_COMMAND) {
    write(Deno.stderr, `CNI flannel plugin of Loden; speaks CNI ${CNI_VERSIONS.join(", ")}\n`);
    return 0;
  }
  let lines: LineQueue | undefined;
  const { stdout, exitCode } = await runPlugin({
    variables,
    readInput,
    host: ({ pluginFolders }, settings) => {
      const opened = openLog(settings);
      lines = opened.lines;
      return {
        delegates: new Delegates(pluginFolders),
        readFile: (path) => readText(path, MAX_SUBNET_FILE_BYTES),
        agentState: (subnetFilePath) => readAgentState(agentStatePath(subnetFilePath)),
        isOwnNetns,
        log: opened.log,
      };
    },
  });
  write(Deno.stdout, stdout);
  if (lines !== undefined) await within(lines.flush(), LAST_WORDS_MS);
  return exitCode;
}

async function readInput(): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const chunk of Deno.stdin.readable) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length > MAX_INPUT_BYTES) throw new Error(`it is longer than ${MAX_INPUT_BYTES} bytes`);
    }
  } catch (error) {
    throw new CniError(CNI_CODE.ioFailure, `error reading from stdin: ${fileReason(error)}`);
  }
  return text + decoder.decode();
}

function isOwnNetns(path: string): boolean {
  const own = fileIdentity(OWN_NETNS);
  return own !== undefined && fileIdentity(path) === own;
}

/**
 * Lines on standard error, where runtimes collect them, or in a file. Standard output is the result's alone; no attachment
 * waits for who reads a log.
 */
function openLog(
  { logLevel, logFilePath }: { logLevel: LogLevel; logFilePath: string | undefined },
): { readonly log: Log; readonly lines: LineQueue } {
  let file: LogFile | undefined;
  const writeLines = async (bytes: Uint8Array): Promise<number> => {
    if (logFilePath === undefined) return await Deno.stderr.write(bytes);
    try {
      file ??= await LogFile.open(logFilePath);
      return await file.write(bytes);
    } catch (error) {
      const reason = `Cannot write the log file ${logFilePath}: ${fileReason(error)}\n`;
      await Deno.stderr.write(new TextEncoder().encode(reason));
      return await Deno.stderr.write(bytes);
    }
  };
  const lines = new LineQueue({ write: writeLines, pause, reasonOf: fileReason });
  const log = jsonLog({ now: () => new Date(), writeLine: (line) => lines.push(line), level: logLevel });
  return { log, lines };
}

function write(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) written += stream.writeSync(bytes.subarray(written));
}
