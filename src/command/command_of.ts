/**
 * The command that the program is asked for, and its arguments: flannel's flags alone, or flannel's name, mean the agent;
 * kubectl runs its plugins by name.
 *
 * @param calledAs The name that the program was started by, with or without a folder.
 */
export function commandOf(args: readonly string[], calledAs: string): readonly [string, ...string[]] {
  const [first, ...rest] = args;
  const name = calledAs.split("/").at(-1);
  if (name === "kubectl-loden") return ["kubectl", ...args];
  if (name === "flanneld" || first?.startsWith("-")) return ["agent", ...args];
  return [first ?? "help", ...rest];
}
