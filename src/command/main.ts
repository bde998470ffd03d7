import { helpText, type Options, parseOptions } from "../config/options.ts";
import { UsageError } from "../config/usage_error.ts";
import { fileReason } from "../file/file_reason.ts";
import { jsonLog, type Log, readableLog } from "../log/log.ts";
import { errorText } from "../log/error_text.ts";
import { VERSION } from "../model/version.ts";

/** What the process ends with: the table of the README, "Run it on a host". */
const EXIT = { done: 0, failed: 1, usage: 2 } as const;

/** What asks a process to end: a person, a service manager, a terminal that is closed. */
const END_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** One thing that the program does when it is asked for by name. */
interface Command {
  /** What it does, as `loden help` says it. */
  readonly summary: string;
  readonly run: (args: readonly string[], signal: AbortSignal) => Promise<number> | number;
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
  "version": { summary: "print the version", run: () => say(VERSION) },
  "help": {
    summary: "print this; 'loden agent -help' prints the agent's flags",
    run: () => say(overview()),
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

function say(text: string): number {
  print(Deno.stdout, text);
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
  try {
    const found = Object.hasOwn(COMMANDS, command) ? COMMANDS[command] : undefined;
    if (found === undefined) {
      throw new UsageError(`Cannot run "${command}": there is no such command; see 'loden help'`);
    }
    return await found.run(rest, signal);
  } catch (error) {
    if (signal.aborted && error === signal.reason) return EXIT.done;
    print(Deno.stderr, `loden: ${errorText(error)}`);
    return error instanceof UsageError ? EXIT.usage : EXIT.failed;
  }
}

/** The command and its arguments: flannel's flags alone, or flannel's name, mean the agent. */
export function commandOf(args: readonly string[], calledAs: string): readonly [string, ...string[]] {
  const [first, ...rest] = args;
  if (calledAs === "flanneld" || first?.startsWith("-")) return ["agent", ...args];
  return [first ?? "help", ...rest];
}

/** Aborts on the first signal that asks for the end; the second one takes its default way. */
function abortOnSignals(stack: DisposableStack): { signal: AbortSignal } {
  const controller = new AbortController();
  const abort = () => {
    for (const name of END_SIGNALS) Deno.removeSignalListener(name, abort);
    controller.abort(new DOMException("The process was asked to end", "AbortError"));
  };
  for (const name of END_SIGNALS) Deno.addSignalListener(name, abort);
  stack.defer(() => {
    if (!controller.signal.aborted) abort();
  });
  return { signal: controller.signal };
}

async function agent(args: readonly string[], signal: AbortSignal): Promise<number> {
  using stack = new DisposableStack();
  const outcome = parseOptions(args, Deno.env.toObject());
  if (outcome.kind === "version") {
    print(Deno.stderr, VERSION);
    return EXIT.done;
  }
  if (outcome.kind === "help") {
    print(Deno.stderr, helpText().trimEnd());
    return EXIT.done;
  }
  const log = openLog(outcome.options, stack);
  for (const reason of outcome.warnings) log.write("warn", "option doubted", { reason });
  const { runAgent } = await import("../agent/agent.ts");
  try {
    await runAgent(outcome.options, { log, environment: Deno.env.toObject() }, { signal });
  } catch (error) {
    // A person who looks at the log alone must see it too.
    if (outcome.options.logFilePath !== undefined && !signal.aborted) {
      log.write("error", "agent not started", { reason: errorText(error) });
    }
    throw error;
  }
  return EXIT.done;
}

async function doctor(args: readonly string[], signal: AbortSignal): Promise<number> {
  const { runDoctor } = await import("./doctor.ts");
  const environment = Deno.env.toObject();
  return await runDoctor(args, { environment, print: (line) => print(Deno.stdout, line) }, { signal })
    ? EXIT.done
    : EXIT.failed;
}

/** Lines in the log file or on standard error: for a person at a terminal, else JSON. */
function openLog({ logFilePath, logFormat, logLevel }: Options, stack: DisposableStack): Log {
  const stream = logFilePath === undefined ? Deno.stderr : stack.use(openLogFile(logFilePath));
  const isReadable = logFormat === "text" || (logFormat === "auto" && stream.isTerminal());
  const open = isReadable ? readableLog : jsonLog;
  return open({ now: () => new Date(), writeLine: (line) => printOrLose(stream, line), level: logLevel });
}

/** Writes a line; it is lost where the disk is full or the reader has gone, and the caller goes on. */
function printOrLose(stream: Parameters<typeof print>[0], line: string): void {
  try {
    print(stream, line);
  } catch {
    // There is nowhere to say so.
  }
}

function openLogFile(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { append: true, create: true });
  } catch (error) {
    const wayOut = error instanceof Deno.errors.NotCapable
      ? "leave out -log-file, and lines go to standard error"
      : "make it writable, or name another with -log-file";
    throw new Error(`Cannot write the log file ${path}: ${fileReason(error)}; ${wayOut}`);
  }
}

async function install(args: readonly string[]): Promise<number> {
  const { installCni } = await import("./install_cni.ts");
  installCni(args, {
    environment: Deno.env.toObject(),
    program: Deno.build.standalone ? Deno.execPath() : undefined,
    print: (line) => print(Deno.stdout, line),
  });
  return EXIT.done;
}

async function cleanup(args: readonly string[], signal: AbortSignal): Promise<number> {
  const { runCleanup } = await import("./cleanup/cleanup.ts");
  const write = (text: string) => print(Deno.stdout, text);
  return await runCleanup(args, { write, environment: Deno.env.toObject() }, { signal });
}

async function lab(args: readonly string[], signal: AbortSignal): Promise<number> {
  const { runLab } = await import("../lab/demo.ts");
  return await runLab(args, {
    write: (text) => print(Deno.stdout, text),
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

function print(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(`${text}\n`);
  for (let written = 0; written < bytes.length;) written += stream.writeSync(bytes.subarray(written));
}
