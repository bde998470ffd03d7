import { LogFile } from "../file/log_file.ts";
import { helpText, type Options, parseOptions } from "../config/options.ts";
import { UsageError } from "../config/usage_error.ts";
import { fileReason } from "../file/file_reason.ts";
import { jsonLog, type Log, readableLog } from "../log/log.ts";
import { errorText } from "../log/error_text.ts";
import { LineQueue } from "../log/line_queue.ts";
import { pause, within } from "../loop/pause.ts";
import { QuietLines } from "../loop/quiet_lines.ts";
import { escaped } from "../log/printable.ts";
import { leaveLoopbackOut } from "../registry/http/proxy_variables.ts";
import { VERSION } from "../model/version.ts";
import { LAST_WORDS_MS, Output } from "./output.ts";
import { abortOnSignals, ignoreSignals } from "./signals.ts";

/** What the process ends with: the table of the README, "Run it on a host". */
const EXIT = { done: 0, failed: 1, usage: 2 } as const;

/** What a file that others keep may take to be opened. */
const OPEN_MS = 5000;

/** What a command is run in. */
interface Place {
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** One thing that the program does when it is asked for by name. */
interface Command {
  /** What it does, as `loden help` says it. */
  readonly summary: string;
  readonly run: (args: readonly string[], place: Place) => Promise<number> | number;
}

/** All commands; what one needs is loaded when it is run. */
const COMMANDS: Readonly<Record<string, Command>> = {
  "agent": {
    summary: "run on this host; also what flags without a command do, as flanneld",
    run: agent,
  },
  "install-cni": {
    summary: "put the CNI plugin, and a conflist, where the container runtime looks for them",
    run: install,
  },
  "cleanup": {
    summary: "find and release what vanished pods have left, or all of ours on this host",
    run: cleanup,
  },
  "doctor": {
    summary: "look at what the agent needs of the cloud, and say what is wrong; changes nothing",
    run: doctor,
  },
  "lab": { summary: "several hosts on this machine, in network namespaces", run: lab },
  "version": { summary: "print the version", run: (_, { output }) => say(output, VERSION) },
  "help": {
    summary: "print this; 'loden agent -help' prints the agent's flags",
    run: (_, { output }) => say(output, overview()),
  },
};

function overview(): string {
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(13)} ${summary}`);
  return [
    `loden ${VERSION}: a layer 3 network for pods that heals itself`,
    "",
    "Usage: loden COMMAND [-FLAG[=VALUE]]...",
    "",
    ...lines,
  ].join("\n");
}

function say(output: Output, text: string): number {
  output.say(text);
  return EXIT.done;
}

/**
 * Runs the command that the process was started with and returns its exit code.
 *
 * @param program What it was started as, with or without a folder.
 */
export async function main(program: string): Promise<number> {
  const [command, ...rest] = commandOf(Deno.args, program.split("/").at(-1)!);
  using stack = new DisposableStack();
  const { signal } = abortOnSignals(stack);
  const output = new Output();
  let reason: string | undefined;
  let code: number;
  leaveLoopbackOut(Deno.env);
  try {
    const found = Object.hasOwn(COMMANDS, command) ? COMMANDS[command] : undefined;
    if (found === undefined) {
      throw new UsageError(`Cannot run "${command}": there is no such command; see 'loden help'`);
    }
    code = await found.run(rest, { output, signal });
    await output.said(signal);
  } catch (error) {
    const isAsked = signal.aborted && error === signal.reason;
    if (!isAsked) reason = `loden: ${escaped(errorText(error))}`;
    code = isAsked ? EXIT.done : error instanceof UsageError ? EXIT.usage : EXIT.failed;
  }
  await output.end(reason);
  return code;
}

/** The command and its arguments: flannel's flags alone, or flannel's name, mean the agent. */
export function commandOf(args: readonly string[], calledAs: string): readonly [string, ...string[]] {
  const [first, ...rest] = args;
  if (calledAs === "flanneld" || first?.startsWith("-")) return ["agent", ...args];
  return [first ?? "help", ...rest];
}

async function agent(args: readonly string[], { output, signal }: Place): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const outcome = parseOptions(args, Deno.env.toObject());
  if (outcome.kind !== "run") {
    output.errors.push(outcome.kind === "version" ? VERSION : helpText().trimEnd());
    return EXIT.done;
  }
  const { log, lines } = await openLog(outcome.options, output, stack);
  const quiet = new QuietLines(() => performance.now());
  stack.use(ignoreSignals((name) => {
    if (quiet.isDue(name)) log.write("info", "signal ignored", { signal: name });
  }));
  for (const reason of outcome.warnings) log.write("warn", "option doubted", { reason });
  const { runAgent } = await import("../agent/agent.ts");
  try {
    const deps = { log, logLoss: lines, environment: Deno.env.toObject() };
    await runAgent(outcome.options, deps, { signal });
  } catch (error) {
    // A person who looks at the log alone must see it too.
    if (outcome.options.logFilePath !== undefined && !signal.aborted) {
      log.write("error", "agent not started", { reason: errorText(error) });
    }
    throw error;
  }
  return EXIT.done;
}

async function doctor(args: readonly string[], { output, signal }: Place): Promise<number> {
  const { runDoctor } = await import("./doctor.ts");
  const environment = Deno.env.toObject();
  const print = (line: string) => output.say(escaped(line));
  return await runDoctor(args, { environment, print }, { signal }) ? EXIT.done : EXIT.failed;
}

/** Lines in the log file or on standard error: for a person at a terminal, else JSON. None waits for its reader. */
async function openLog(
  { logFilePath, logFormat, logLevel }: Options,
  output: Output,
  stack: AsyncDisposableStack,
): Promise<{ readonly log: Log; readonly lines: LineQueue }> {
  let lines = output.errors;
  let isTerminal = () => Deno.stderr.isTerminal();
  if (logFilePath !== undefined) {
    const file = stack.use(await openLogFile(logFilePath));
    lines = new LineQueue({ write: (bytes) => file.write(bytes), pause, reasonOf: fileReason });
    isTerminal = () => file.isTerminal();
    stack.defer(async () => void await within(lines.flush(), LAST_WORDS_MS));
  }
  const open = logFormat === "text" || (logFormat === "auto" && isTerminal()) ? readableLog : jsonLog;
  const now = () => new Date();
  lines.lostLine = (count) => {
    let said = "";
    open({ now, writeLine: (line) => said = line, level: "info" })
      .write("warn", "log lines lost", {
        lines: count,
        reason: "they were not read, or could not be written",
      });
    return said;
  };
  return { log: open({ now, writeLine: (line) => lines.push(line), level: logLevel }), lines };
}

async function openLogFile(path: string): Promise<LogFile> {
  const cannot = (reason: string, wayOut: string) =>
    new Error(`Cannot write the log file ${path}: ${reason}; ${wayOut}`);
  const wayOut = "make it writable, or name another with -log-file";
  const opened = await within(
    LogFile.open(path).catch((error) => {
      const isForbidden = error instanceof Deno.errors.NotCapable;
      throw cannot(
        fileReason(error),
        isForbidden ? "leave out -log-file, and lines go to standard error" : wayOut,
      );
    }),
    OPEN_MS,
  );
  if (opened === undefined) throw cannot(`it was not opened within ${OPEN_MS / 1000} s`, wayOut);
  return opened;
}

async function install(args: readonly string[], { output }: Place): Promise<number> {
  const { installCni } = await import("./install_cni.ts");
  installCni(args, {
    environment: Deno.env.toObject(),
    program: Deno.build.standalone ? Deno.execPath() : undefined,
    print: (line) => output.say(line),
  });
  return EXIT.done;
}

async function cleanup(args: readonly string[], { output, signal }: Place): Promise<number> {
  const { runCleanup } = await import("./cleanup/cleanup.ts");
  const write = (text: string) => output.say(text);
  return await runCleanup(args, { write, environment: Deno.env.toObject() }, { signal });
}

async function lab(args: readonly string[], { output, signal }: Place): Promise<number> {
  const { runLab } = await import("../lab/demo.ts");
  using _ignored = ignoreSignals(() => {});
  return await runLab(args, {
    write: (text) => output.say(text),
    isTerminal: Deno.stdout.isTerminal(),
    agentCommand: selfCommand("agent"),
  }, { signal });
}

/** The command line that starts this very program with `command`. */
function selfCommand(command: string): readonly string[] {
  if (Deno.build.standalone) return [Deno.execPath(), command];
  return [
    Deno.execPath(),
    "run",
    "--quiet",
    "-A",
    new URL("../../mod.ts", import.meta.url).pathname,
    command,
  ];
}
