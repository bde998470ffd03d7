import { flagsToNote } from "../agent/noted_flags.ts";
import { FLAGS } from "../config/flags.ts";
import { helpText, type Options, parseOptions } from "../config/options.ts";
import { fileReason } from "../file/file_reason.ts";
import { LogFile } from "../file/log_file.ts";
import { errorText } from "../log/error_text.ts";
import { LineQueue } from "../log/line_queue.ts";
import { jsonLog, type Log, readableLog } from "../log/log.ts";
import { pause, within } from "../loop/pause.ts";
import { QuietLines } from "../loop/quiet_lines.ts";
import { VERSION } from "../model/version.ts";
import { type CommandUsage, EXIT, type Place } from "./command.ts";
import { LAST_WORDS_MS, type Output } from "./output.ts";
import { ignoreSignals } from "./signals.ts";

/** What a file that others keep may take to be opened. */
const OPEN_MS = 5000;

/** How the agent is asked for, as far as completion and the man page tell it. */
export const AGENT_USAGE: CommandUsage = {
  line: "loden agent",
  about: [
    "Runs on this host until it is told to end: takes a subnet, builds the overlay and",
    "keeps it. All flags of flanneld are understood, with one dash too; for each there",
    "is a variable, as FLANNELD_IFACE for --iface.",
  ].join("\n"),
  flags: FLAGS,
};

/** Runs the agent on this host until it is told to end. */
export async function runAgentCommand(args: readonly string[], { output, signal }: Place): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const outcome = parseOptions(isForHelp(args) ? ["-help"] : args, Deno.env.toObject());
  if (outcome.kind !== "run") {
    // flanneld tells its version there, and scripts look for it; help is to be read page by page.
    if (outcome.kind === "version") output.errors.push(VERSION);
    else output.say(helpText().trimEnd());
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
    const environment = Deno.env.toObject();
    const deps = { log, logLoss: lines, environment, noted: flagsToNote(args, environment) };
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

/** A person who asks for help in this way must not have started an agent. flanneld takes no word for a command. */
function isForHelp([first, ...others]: readonly string[]): boolean {
  return first === "help" && others.length === 0;
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
