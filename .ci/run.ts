/** Runs a command with this terminal; throws one line if it fails. No shell has a part in it. */
export async function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Record<string, string> } = {},
): Promise<void> {
  const { code, signal } = await new Deno.Command(command, {
    args: [...args],
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
    ...options,
  }).output();
  if (code !== 0) {
    throw new Error(`Cannot go on: ${command} ${args.join(" ")} ended with ${signal ?? `exit code ${code}`}`);
  }
}
