import type { FileFights } from "./file_fights.ts";
import { basename, dirname } from "node:path";
import {
  bridgeIn,
  CONFLIST_MODE,
  ConflistError,
  conflistText,
  expectedPluginTypes,
  filesBefore,
  MAX_CONFLIST_BYTES,
  parseConflist,
  pluginTypes,
  type PodAttachment,
  podAttachment,
  renderConflist,
  USUAL_BRIDGE,
  USUAL_CONFLIST,
  USUAL_NETWORK,
} from "../pods/conflist.ts";
import { statIfThere } from "../file/read_file.ts";
import { describeMissing, missingPlugins, USUAL_PLUGIN_FOLDERS } from "../pods/plugin_folders.ts";
import { readSettings } from "../pods/settings.ts";
import type { SubnetEnv } from "../pods/subnet_env.ts";
import { writeIfOther } from "../file/write_if_other.ts";
import type { Options } from "../config/options.ts";
import { readText } from "../file/read_text.ts";
import { fileReason } from "../file/file_reason.ts";
import type { Log } from "../log/log.ts";
import { errorText } from "../log/error_text.ts";

interface RenderedConflist {
  readonly text: string;
  /** The plugins that are started by it. */
  readonly types: readonly string[];
}

/** The conflist as it must be for a subnet, or why there can be none. */
export type PreparedConflist = RenderedConflist | { readonly fault: string };

/**
 * Keeps the runtime's conflist: written when the host can forward, so that a node becomes ready when pods can be
 * started and not before, and again whenever the subnet, the MTU or its source changes, or it disappears.
 */
export class ConflistKeeper {
  #fault: string | undefined = "the conflist is not written yet";
  #shadowedBy = "";
  /** The conflist as it must be; absent while that is not known. */
  #text: string | undefined;
  #attachment: PodAttachment | undefined;
  #lacking: string | undefined;

  constructor(
    readonly place: NonNullable<Options["conflist"]>,
    readonly deps: {
      readonly fights: FileFights;
      readonly log: Log;
      readonly environment: Readonly<Record<string, string | undefined>>;
      /** Where the runtime has its plugins; absent if no flag says it. */
      readonly pluginFolder?: string | undefined;
    },
  ) {}

  /** Why there is no good conflist, as a sentence; `undefined` while there is one. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** The name of the network: what the conflist says, else the usual one. */
  get network(): string {
    return this.#text === undefined ? USUAL_NETWORK : parseConflist(this.#text).name;
  }

  /** The bridge that pods are on, as far as the conflist or its source says; `undefined` if pods are on none. */
  get bridge(): string | undefined {
    try {
      return bridgeIn(this.#text ?? this.#source());
    } catch (error) {
      if (!(error instanceof ConflistError)) throw error;
      return USUAL_BRIDGE;
    }
  }

  /** How pods are attached, as far as that is ours; `undefined` while it is not known. */
  get attachment(): PodAttachment | undefined {
    return this.#attachment;
  }

  /** The plugins that the conflist will name, as far as its source says. */
  get pluginTypes(): readonly string[] {
    try {
      return expectedPluginTypes(this.#source());
    } catch (error) {
      if (!(error instanceof ConflistError)) throw error;
      return [];
    }
  }

  /** What is in the conflist's way, as a sentence; `undefined` if nothing is. */
  get note(): string | undefined {
    if (this.#shadowedBy === "") return this.#lacking;
    const { path } = this.place;
    return `${this.#shadowedBy} sorts before ${basename(path)} in ${
      dirname(path)
    }: the runtime uses that one`;
  }

  /** Makes the conflist of its source and of `env`, and learns how pods will be attached by it. Writes nothing. */
  prepare(env: SubnetEnv): PreparedConflist {
    try {
      return this.#render(env);
    } catch (error) {
      if (!(error instanceof ConflistError)) throw error;
      return { fault: error.message };
    }
  }

  /**
   * Sees to it that the conflist is as it was prepared. A failure is tried again by the next pass. Where plugins are
   * missing that it names none is written; one that is there stays, and is kept as it must be.
   */
  write(prepared: PreparedConflist): void {
    const { path } = this.place;
    if ("fault" in prepared) {
      this.#fault = `Cannot write the conflist ${path}: ${prepared.fault}`;
      return;
    }
    const { text, types } = prepared;
    try {
      const missing = this.#missing(types);
      const isHeldBack = missing !== undefined && statIfThere(path) === undefined;
      const isWritten = !isHeldBack &&
        this.deps.fights.keep(path, text, () => writeIfOther(path, text, CONFLIST_MODE));
      if (!isHeldBack) this.#text = text;
      this.#fault = missing;
      if (!isHeldBack) this.#look();
      if (isWritten) this.deps.log.write("info", "conflist written", { path });
    } catch (error) {
      this.#fault = `Cannot write the conflist ${path}: ${fileReason(error)}`;
    }
  }

  /** The conflist's text, and the plugins that are started by it. */
  #render(env: SubnetEnv): RenderedConflist {
    const { sourcePath, isRendered } = this.place;
    try {
      const source = this.#source();
      if (isRendered) {
        const settings = readSettings(this.deps.environment);
        const text = renderConflist(source, settings, env);
        this.#attachment = podAttachment(source, settings, env);
        return { text, types: pluginTypes(text) };
      }
      return { text: conflistText(source), types: this.#typesBehind(source, env) };
    } catch (error) {
      throw new ConflistError(
        `${sourcePath}: ${error instanceof ConflistError ? error.message : errorText(error)}`,
      );
    }
  }

  /** What is started by a conflist that calls the plugin `flannel`: that, and what it calls. It tells its own faults. */
  #typesBehind(source: string, env: SubnetEnv): readonly string[] {
    const types = pluginTypes(source);
    try {
      const settings = readSettings(this.deps.environment);
      this.#attachment = podAttachment(source, settings, env);
      return [...new Set([...types, ...pluginTypes(renderConflist(source, settings, env))])];
    } catch {
      return types;
    }
  }

  /**
   * Why pods can't be started by plugins that are not there. Where no flag says which folder is the runtime's, that
   * is no more than a note.
   */
  #missing(types: readonly string[]): string | undefined {
    const { pluginFolder } = this.deps;
    const usual = USUAL_PLUGIN_FOLDERS.filter(isFolder);
    const folders = pluginFolder === undefined ? usual : [pluginFolder];
    const missing = folders.length === 0 ? [] : missingPlugins(types, folders);
    const sentence = missing.length === 0 ? undefined : describeMissing(missing, {
      folders,
      isSaid: pluginFolder !== undefined,
      elsewhere: usual.filter((folder) => missingPlugins(missing, [folder]).length === 0),
      conflistPath: this.place.path,
    });
    if (pluginFolder !== undefined) return sentence;
    this.#lacking = sentence;
    return undefined;
  }

  #source(): string {
    const { sourcePath, isSourceOptional } = this.place;
    try {
      return readText(sourcePath, MAX_CONFLIST_BYTES);
    } catch (error) {
      if (isSourceOptional && error instanceof Deno.errors.NotFound) return USUAL_CONFLIST;
      throw new ConflistError(fileReason(error));
    }
  }

  /** Looks for a file that the runtime would use instead. */
  #look(): void {
    const { path } = this.place;
    const names = [...Deno.readDirSync(dirname(path))].map(({ name }) => name);
    const [first = ""] = filesBefore(basename(path), names);
    this.#shadowedBy = first;
  }
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
