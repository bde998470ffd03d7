import { basename, join } from "node:path";
import {
  CONFLIST_MODE,
  ConflistError,
  conflistText,
  filesBefore,
  MAX_CONFLIST_BYTES,
  nameFault,
  USUAL_CONFLIST,
  withMtu,
} from "../pods/conflist.ts";
import { isFile } from "../file/read_file.ts";
import { installProgram } from "../pods/install_file.ts";
import { installPlaces, PLUGIN } from "../pods/install_places.ts";
import { writeIfOther } from "../file/write_if_other.ts";
import { readText } from "../file/read_text.ts";
import { UsageError } from "../config/usage_error.ts";
import { fileReason } from "../file/file_reason.ts";
import type { CommandUsage } from "./command.ts";

/** What the installer needs of the process that it runs in. */
export interface InstallDeps {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The program's own file; absent where it is no compiled binary. */
  readonly program: string | undefined;
  readonly print: (line: string) => void;
}

const DEFAULT_SOURCE = "/etc/kube-flannel/cni-conf.json";
const USAGE = `Usage: loden install-cni [CONFLIST]

Puts the CNI plugin where the container runtime looks for it, and a conflist, if
the agent writes none. Without CONFLIST that is what CNI_NETWORK_CONFIG says,
else ${DEFAULT_SOURCE}, else the usual one. Variables:
  CNI_BIN_DIR          the runtime's folder of plugins (/opt/cni/bin)
  SKIP_CNI_BINARIES    plugins, with commas, that are not installed; true: none
  UPDATE_CNI_BINARIES  false leaves a plugin alone that is there
  CNI_NET_DIR          the runtime's folder of conflists (/etc/cni/net.d)
  CNI_CONF_NAME        the conflist (10-flannel.conflist); empty writes none
  CNI_NETWORK_CONFIG   the conflist's text
  CNI_MTU              stands in for __CNI_MTU__ in it`;
/** How it is asked for, as far as completion and the man page tell it. */
export const INSTALL_USAGE: CommandUsage = {
  line: "loden install-cni [CONFLIST]",
  about: USAGE.slice(USAGE.indexOf("\n\n") + 2),
  flags: [],
};
/** Stands for the MTU in Calico's templates. */
const MTU_PLACEHOLDER = "__CNI_MTU__";

/**
 * Installs the plugin and, unless the agent renders one, a conflist: by temporary file, fsync and rename. With
 * Calico's variables:
 *
 * - `CNI_BIN_DIR` (/opt/cni/bin), `SKIP_CNI_BINARIES` (names with commas, or `true`), `UPDATE_CNI_BINARIES`
 *   (`false` leaves a plugin alone that is there);
 * - `CNI_NET_DIR` (/etc/cni/net.d), `CNI_CONF_NAME` (10-flannel.conflist; empty writes none);
 * - `CNI_NETWORK_CONFIG` (text), else the file that is named as argument, else /etc/kube-flannel/cni-conf.json, else
 *   the usual one; `CNI_MTU` is put into it.
 *
 * @throws {Error} If something can't be installed: one sentence.
 */
export function installCni(args: readonly string[], deps: InstallDeps): void {
  const [source, ...others] = args;
  if (/^--?h(elp)?$/.test(source ?? "")) return deps.print(USAGE);
  if (others.length > 0 || source?.startsWith("-")) {
    throw new UsageError(
      "Cannot read the arguments of install-cni: at most the path of a conflist is expected",
    );
  }
  installPlugin(deps);
  installConflist(source, deps);
}

function installPlugin({ environment, program, print }: InstallDeps): void {
  const skipped = (environment.SKIP_CNI_BINARIES ?? "").split(",").map((name) => name.trim());
  if (skipped.includes("true") || skipped.includes(PLUGIN)) {
    return print("plugin skipped, as SKIP_CNI_BINARIES asks");
  }
  const { pluginPath: path } = installPlaces(environment);
  if (environment.UPDATE_CNI_BINARIES === "false" && isFile(path)) {
    return print(`${path} left alone, as UPDATE_CNI_BINARIES asks`);
  }
  if (program === undefined) throw new Error("Cannot install the plugin: only the compiled binary is one");
  try {
    print(installProgram(program, path) ? `${path} installed` : `${path} is this version already`);
  } catch (error) {
    throw new Error(`Cannot install ${path}: ${fileReason(error)}; name another folder with CNI_BIN_DIR`);
  }
}

function installConflist(source: string | undefined, { environment, print }: InstallDeps): void {
  const { conflistFolder: folder, conflistName: name } = installPlaces(environment);
  if (name === "") return;
  if (name.includes("/")) throw new UsageError(`Cannot use CNI_CONF_NAME: must be a file's name, is ${name}`);
  const fault = nameFault(name);
  if (fault !== undefined) throw new UsageError(`Cannot use CNI_CONF_NAME: ${fault}, is ${name}`);
  const path = join(folder, name);
  const text = listText(source, environment);
  try {
    print(writeIfOther(path, text, CONFLIST_MODE) ? `${path} written` : `${path} is as it must be already`);
    const names = [...Deno.readDirSync(folder)].map((entry) => entry.name);
    for (const other of filesBefore(basename(path), names)) {
      print(`warning: ${other} sorts before ${name} in ${folder}: the runtime uses that one`);
    }
  } catch (error) {
    throw new Error(`Cannot write ${path}: ${fileReason(error)}; name another folder with CNI_NET_DIR`);
  }
}

function listText(source: string | undefined, environment: InstallDeps["environment"]): string {
  const [where, template] = conflistTemplate(source, environment.CNI_NETWORK_CONFIG);
  const mtu = environment.CNI_MTU || "";
  if (mtu !== "" && !/^[1-9]\d{1,4}$/.test(mtu)) {
    throw new UsageError(`Cannot use CNI_MTU: must be a number of bytes, is ${JSON.stringify(mtu)}`);
  }
  try {
    if (mtu === "") return conflistText(template);
    return template.includes(MTU_PLACEHOLDER)
      ? conflistText(template.replaceAll(MTU_PLACEHOLDER, mtu))
      : withMtu(template, Number(mtu));
  } catch (error) {
    if (!(error instanceof ConflistError)) throw error;
    throw new Error(`Cannot use the conflist in ${where}: ${error.message}`);
  }
}

function conflistTemplate(
  source: string | undefined,
  inline: string | undefined,
): [where: string, text: string] {
  if (inline) return ["CNI_NETWORK_CONFIG", inline];
  const path = source ?? DEFAULT_SOURCE;
  try {
    return [path, readText(path, MAX_CONFLIST_BYTES)];
  } catch (error) {
    if (source === undefined && error instanceof Deno.errors.NotFound) return ["the program", USUAL_CONFLIST];
    throw new Error(`Cannot read the conflist ${path}: ${fileReason(error)}`);
  }
}
