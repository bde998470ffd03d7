import { join } from "node:path";
import { type PodAttachment, podAttachment, USUAL_BRIDGE } from "../cni/conflist.ts";
import { USUAL_CONFLIST, USUAL_NETWORK } from "../cni/conflist.ts";
import { isFile } from "../cni/file.ts";
import { installProgram } from "../cni/install_file.ts";
import { pluginIn } from "../cni/install_places.ts";
import { readSettings } from "../cni/settings.ts";
import { readSubnetEnv } from "../cni/subnet_env.ts";
import type { Options } from "../config/options.ts";
import { fileReason } from "../log/file_reason.ts";
import type { Log } from "../log/log.ts";
import { ConflistKeeper } from "./conflist_keeper.ts";
import { SubnetFileKeeper } from "./subnet_file_keeper.ts";

/** What pods are started with: the subnet file and, where they are asked for, the plugin and the conflist. */
export class PodFiles {
  readonly #subnetFile: SubnetFileKeeper;
  readonly #conflist: ConflistKeeper | undefined;
  readonly #plugin: { readonly program: string; readonly path: string } | undefined;
  #pluginFault: string | undefined;
  #usualAttachment: PodAttachment | undefined;

  constructor(
    readonly options: Pick<Options, "subnetFilePath" | "conflist" | "pluginFolder">,
    readonly deps: {
      readonly log: Log;
      readonly environment: Readonly<Record<string, string | undefined>>;
      /** The program's own file, which is also the plugin. */
      readonly program: string;
    },
  ) {
    const { subnetFilePath, conflist, pluginFolder } = options;
    this.#subnetFile = new SubnetFileKeeper(subnetFilePath, deps);
    this.#conflist = conflist && new ConflistKeeper(conflist, { ...deps, pluginFolder });
    this.#plugin = pluginFolder === undefined
      ? undefined
      : { program: deps.program, path: pluginIn(pluginFolder) };
  }

  /** The files that must be as they were written, and those that must be there. */
  get paths(): readonly string[] {
    const { subnetFilePath, conflist, pluginFolder } = this.options;
    return [
      subnetFilePath,
      ...conflist === undefined ? [] : [conflist.path, conflist.sourcePath],
      ...this.#plugin === undefined ? [] : [this.#plugin.path],
      ...pluginFolder === undefined
        ? []
        : this.#conflist?.pluginTypes.map((type) => join(pluginFolder, type)) ?? [],
    ];
  }

  /** Why pods can't be started, as a sentence; `undefined` while they can. */
  get fault(): string | undefined {
    return this.#subnetFile.fault ?? this.#pluginFault ?? this.#conflist?.fault;
  }

  /** The name of the network that pods are attached to. */
  get network(): string {
    return this.#conflist?.network ?? USUAL_NETWORK;
  }

  /** The bridge that pods are on; `undefined` if they are on none. */
  get bridge(): string | undefined {
    return this.#conflist === undefined ? USUAL_BRIDGE : this.#conflist.bridge;
  }

  /**
   * How the plugin `flannel` attaches pods, as the conflist says, or as it usually does where none is written from here;
   * `undefined` if it does not, or that is not known.
   */
  get attachment(): PodAttachment | undefined {
    return this.#conflist === undefined ? this.#usualAttachment : this.#conflist.attachment;
  }

  /** What is in the conflist's way, as a sentence; `undefined` if nothing is. */
  get note(): string | undefined {
    return this.#conflist?.note;
  }

  /** Sees to all files, the conflist last: with it the node becomes ready. */
  keep(subnetFile: string): void {
    this.#subnetFile.keep(subnetFile);
    this.#keepPlugin();
    if (this.#subnetFile.fault !== undefined || this.#pluginFault !== undefined) return;
    const env = readSubnetEnv(subnetFile, this.options.subnetFilePath);
    if (this.#conflist !== undefined) this.#conflist.keep(env);
    else this.#usualAttachment = podAttachment(USUAL_CONFLIST, readSettings({}), env);
  }

  /** Puts back a plugin that somebody has removed, as packages do that bring the others. */
  #keepPlugin(): void {
    if (this.#plugin === undefined) return;
    const { program, path } = this.#plugin;
    try {
      const isInstalled = !isFile(path) && installProgram(program, path);
      this.#pluginFault = undefined;
      if (isInstalled) this.deps.log.write("info", "plugin installed", { path });
    } catch (error) {
      const fault = `Cannot install ${path}: ${fileReason(error)}`;
      if (fault !== this.#pluginFault) this.deps.log.write("warn", "plugin not installed", { reason: fault });
      this.#pluginFault = fault;
    }
  }
}
