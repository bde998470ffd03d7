import { UsageError } from "../config/usage_error.ts";
import { errorText } from "../log/error_text.ts";
import { escaped } from "../log/printable.ts";
import { leaveLoopbackOut } from "../registry/http/proxy_variables.ts";
import { EXIT } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { Output } from "./output.ts";
import { abortOnSignals } from "./signals.ts";

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
  const found = Object.hasOwn(COMMANDS, command) ? COMMANDS[command] : undefined;
  try {
    if (found === undefined) {
      throw new UsageError(`Cannot run "${command}": there is no such command; see 'loden help'`);
    }
    code = await found.run(rest, { output, signal });
    await output.said(signal);
  } catch (error) {
    const isAsked = signal.aborted && error === signal.reason;
    if (!isAsked) reason = `loden: ${escaped(errorText(error))}`;
    code = isAsked ? EXIT.done : error instanceof UsageError ? found?.usageExit ?? EXIT.usage : EXIT.failed;
  }
  await output.end(reason);
  return code;
}

/** The command and its arguments: flannel's flags alone, or flannel's name, mean the agent; kubectl runs its plugins by name. */
export function commandOf(args: readonly string[], calledAs: string): readonly [string, ...string[]] {
  const [first, ...rest] = args;
  if (calledAs === "kubectl-loden") return ["kubectl", ...args];
  if (calledAs === "flanneld" || first?.startsWith("-")) return ["agent", ...args];
  return [first ?? "help", ...rest];
}
