import { basename, dirname } from "node:path";
import {
  bridgeIn,
  ConflistError,
  filesBefore,
  parseConflist,
  renderConflist,
  USUAL_BRIDGE,
  USUAL_CONFLIST,
  USUAL_NETWORK,
} from "../cni/conflist.ts";
import { readSettings } from "../cni/settings.ts";
import type { SubnetEnv } from "../cni/subnet_env.ts";
import { writeIfOther } from "../cni/write_if_other.ts";
import type { Options } from "../config/options.ts";
import { fileReason } from "../log/file_reason.ts";
import type { Log } from "../log/log.ts";
import { errorText } from "./keep_running.ts";

/**
 * Keeps the runtime's conflist: written when the host can forward, so that a node becomes ready when pods can be
 * started and not before, and again whenever the subnet, the MTU or its source changes, or it disappears.
 */
export class ConflistKeeper {
  #fault: string | undefined = "the conflist is not written yet";
  #shadowedBy = "";
  /** The conflist as it must be; absent while that is not known. */
  #text: string | undefined;

  constructor(
    readonly place: NonNullable<Options["conflist"]>,
    readonly deps: {
      readonly log: Log;
      readonly environment: Readonly<Record<string, string | undefined>>;
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

  /** What is in the conflist's way, as a sentence; `undefined` if nothing is. */
  get note(): string | undefined {
    if (this.#shadowedBy === "") return undefined;
    const { path } = this.place;
    return `${this.#shadowedBy} sorts before ${basename(path)} in ${
      dirname(path)
    }: the runtime uses that one`;
  }

  /** Sees to it that the conflist is what `env` makes of its source. A failure is tried again by the next pass. */
  keep(env: SubnetEnv): void {
    const { path } = this.place;
    const { log, environment } = this.deps;
    try {
      const text = this.#render(env, environment);
      const isWritten = writeIfOther(path, text);
      this.#text = text;
      this.#fault = undefined;
      this.#look();
      if (isWritten) log.write("info", "conflist written", { path });
    } catch (error) {
      const fault = `Cannot write the conflist ${path}: ${
        error instanceof ConflistError ? error.message : fileReason(error)
      }`;
      if (fault !== this.#fault) log.write("warn", "conflist not written", { reason: fault });
      this.#fault = fault;
    }
  }

  #render(env: SubnetEnv, environment: Readonly<Record<string, string | undefined>>): string {
    const { sourcePath, isRendered } = this.place;
    try {
      const source = this.#source();
      if (!isRendered) {
        parseConflist(source);
        return source;
      }
      return renderConflist(source, readSettings(environment), env);
    } catch (error) {
      throw new ConflistError(
        `${sourcePath}: ${error instanceof ConflistError ? error.message : errorText(error)}`,
      );
    }
  }

  #source(): string {
    const { sourcePath, isSourceOptional } = this.place;
    try {
      return Deno.readTextFileSync(sourcePath);
    } catch (error) {
      if (isSourceOptional && error instanceof Deno.errors.NotFound) return USUAL_CONFLIST;
      throw new ConflistError(fileReason(error));
    }
  }

  /** Tells once of each file that the runtime would use instead. */
  #look(): void {
    const { path } = this.place;
    const names = [...Deno.readDirSync(dirname(path))].map(({ name }) => name);
    const [first = ""] = filesBefore(basename(path), names);
    if (first === this.#shadowedBy) return;
    this.#shadowedBy = first;
    if (this.note !== undefined) this.deps.log.write("warn", "conflist not in use", { reason: this.note });
  }
}
