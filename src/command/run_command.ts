import { UsageError } from "../config/usage_error.ts";
import { errorText } from "../log/error_text.ts";
import { escaped } from "../log/printable.ts";
import { leaveLoopbackOut } from "../registry/http/proxy_variables.ts";
import { type Command, EXIT } from "./command.ts";
import { Output } from "./output.ts";
import { abortOnSignals } from "./signals.ts";

/** Runs a command, by the name that it was asked for with, and returns the exit code of the process. */
export async function runCommand(
  name: string,
  args: readonly string[],
  command: Command | undefined,
): Promise<number> {
  using stack = new DisposableStack();
  const { signal } = abortOnSignals(stack);
  const output = new Output();
  let reason: string | undefined;
  let code: number;
  leaveLoopbackOut(Deno.env);
  try {
    if (command === undefined) {
      throw new UsageError(`Cannot run "${name}": there is no such command; see 'loden help'`);
    }
    code = await command.run(args, { output, signal });
    await output.said(signal);
  } catch (error) {
    const isAsked = signal.aborted && error === signal.reason;
    const isDone = isAsked && command?.isEndless === true;
    if (isAsked) reason = isDone ? undefined : `loden: '${name}' was asked to end before it was done`;
    else reason = `loden: ${escaped(errorText(error))}`;
    if (isDone) code = EXIT.done;
    else code = error instanceof UsageError ? command?.usageExit ?? EXIT.usage : EXIT.failed;
  }
  await output.end(reason);
  return code;
}
