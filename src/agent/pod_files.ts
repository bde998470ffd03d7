import { join } from "node:path";
import {
  type PodAttachment,
  podAttachment,
  USUAL_BRIDGE,
  USUAL_CONFLIST,
  USUAL_NETWORK,
} from "../pods/conflist.ts";
import { isFile } from "../file/read_file.ts";
import { installProgram } from "../pods/install_file.ts";
import { pluginIn } from "../pods/install_places.ts";
import { readSettings } from "../pods/settings.ts";
import { readSubnetEnv } from "../pods/subnet_env.ts";
import type { Options } from "../config/options.ts";
import type { Condition } from "../model/condition.ts";
import { fileReason } from "../file/file_reason.ts";
import { type Log, SILENT } from "../log/log.ts";
import { ConflistKeeper, type PreparedConflist } from "./conflist_keeper.ts";
import { FileFights } from "./file_fights.ts";
import { SubnetFileKeeper } from "./subnet_file_keeper.ts";

/** What the files must say for a subnet. */
export interface PreparedPodFiles {
  readonly subnetFile: string;
  /** Absent where none is asked for. */
  readonly conflist: PreparedConflist | undefined;
}

/** What pods are started with: the subnet file and, where they are asked for, the plugin and the conflist. */
export class PodFiles {
  readonly #fights: FileFights;
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
      /** A clock that nobody sets. */
      readonly elapsedMs: () => number;
      /** Writes what is other; its own if absent. */
      readonly fights?: FileFights;
      /** Puts the plugin in its place. */
      readonly install?: typeof installProgram;
    },
  ) {
    const { subnetFilePath, conflist, pluginFolder } = options;
    const fights = this.#fights = deps.fights ?? new FileFights(deps.elapsedMs);
    this.#subnetFile = new SubnetFileKeeper(subnetFilePath, { ...deps, fights });
    this.#conflist = conflist && new ConflistKeeper(conflist, { ...deps, fights, pluginFolder });
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

  /** Files that another program changes each time. */
  get conditions(): readonly Condition[] {
    return this.#fights.conditions;
  }

  /** Milliseconds until a file that was left to another program is to be written; `undefined` if none is. */
  get waitMs(): number | undefined {
    return this.#fights.waitMs;
  }

  /** Makes what the files must say, and learns how pods will be attached by them. Writes nothing. */
  prepare(subnetFile: string): PreparedPodFiles {
    const env = readSubnetEnv(subnetFile, this.options.subnetFilePath);
    if (this.#conflist !== undefined) return { subnetFile, conflist: this.#conflist.prepare(env) };
    this.#usualAttachment = podAttachment(USUAL_CONFLIST, readSettings({}), env);
    return { subnetFile, conflist: undefined };
  }

  /** Sees to all files as `write()` does, with a door that writes down what would be written; nothing is learnt by it. */
  dryRun(
    subnetFile: string,
    doors: { readonly fights: FileFights; readonly install: typeof installProgram },
  ): PodAttachment | undefined {
    const twin = new PodFiles(this.options, { ...this.deps, ...doors, log: SILENT });
    const files = twin.prepare(subnetFile);
    twin.write(files);
    return twin.attachment;
  }

  /** Sees to all files, the conflist last: with it the node becomes ready. */
  write({ subnetFile, conflist }: PreparedPodFiles): void {
    this.#subnetFile.keep(subnetFile);
    this.#keepPlugin();
    if (this.#subnetFile.fault !== undefined || this.#pluginFault !== undefined) return;
    if (conflist !== undefined) this.#conflist?.write(conflist);
  }

  /** Puts back a plugin that was removed, as by an upgrade of the package that brings the others. */
  #keepPlugin(): void {
    if (this.#plugin === undefined) return;
    const { program, path } = this.#plugin;
    const { install = installProgram } = this.deps;
    try {
      const isInstalled = !isFile(path) && install(program, path);
      this.#pluginFault = undefined;
      if (isInstalled) this.deps.log.write("info", "plugin installed", { path });
    } catch (error) {
      this.#pluginFault = `Cannot install ${path}: ${fileReason(error)}`;
    }
  }
}
