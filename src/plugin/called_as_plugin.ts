/** How the process was started. */
export interface Call {
  readonly args: readonly string[];
  /** `CNI_COMMAND` of the environment. */
  readonly command: string | undefined;
  /** The program's file. */
  readonly program: string;
}

/**
 * Reports whether a container runtime has started this program as a CNI plugin: without arguments, and by flannel's
 * name or with a command in the environment. An agent or a person says what to do in arguments.
 */
export function isPlugin({ args, command, program }: Call): boolean {
  if (args.length > 0) return false;
  const name = program.split("/").at(-1);
  return name === "flannel" || (name !== "flanneld" && command !== undefined && command !== "");
}
