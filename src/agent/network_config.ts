import { ConfigError } from "../config/config_error.ts";
import { MAX_TEXT_BYTES, type NetworkConfig, parseNetworkConfig } from "../config/network.ts";
import type { Options } from "../config/options.ts";
import { OddFileError, readText } from "../file/read_text.ts";
import { BackOff } from "../loop/back_off.ts";
import { fileReason } from "../file/file_reason.ts";
import type { Condition } from "../model/condition.ts";
import type { Log } from "../log/log.ts";
import type { PatientFiles } from "./patient_files.ts";
import { errorText } from "../log/error_text.ts";

/** The longest pause between attempts to read a configuration that is not to be had yet. */
const LAST_RETRY_MS = 10_000;

/** A network configuration, and its text where it may be needed again. */
export interface ReadConfig {
  readonly config: NetworkConfig;
  readonly text: string;
}

/** What a configuration in a registry is read with. */
export interface RegistryConfigDeps {
  /** Reads the text; throws with one sentence. */
  readonly read: (options: { signal: AbortSignal }) => Promise<string>;
  /** Where the text is, for messages. */
  readonly source: string;
  /** The text that was in use last, for a start while the registry is away. */
  readonly remembered: string | undefined;
  /** Told why the configuration is not to be had yet. */
  readonly waiting: (condition: Condition) => void;
  readonly log: Log;
}

/**
 * Reads net-conf.json.
 *
 * @param text What it says, if that was read already.
 * @throws {Error} If it can't be read, or is wrong: one sentence.
 */
export function readConfigFile(
  options: Options,
  log: Log,
  text = readConfigText(options.networkConfigPath),
): ReadConfig {
  return { config: parseConfig(text, options.networkConfigPath, options, log), text };
}

/** @throws {Error} If it can't be read: one sentence. */
function readConfigText(path: string): string {
  try {
    return readText(path, MAX_TEXT_BYTES);
  } catch (error) {
    throw notRead(path, error);
  }
}

/**
 * Reads the text of net-conf.json off the main thread.
 *
 * @throws {Error} If it can't be read: one sentence.
 */
export async function readConfigAside(path: string, files: PatientFiles): Promise<string> {
  try {
    return await files.read(path, MAX_TEXT_BYTES);
  } catch (error) {
    throw notRead(path, error);
  }
}

function notRead(path: string, error: unknown): Error {
  const reason = `${fileReason(error)}${error instanceof OddFileError ? "" : "; write it"}`;
  return new Error(
    `Cannot read the network configuration ${path}: ${reason}, or name another file with -net-config-path`,
  );
}

/**
 * Reads the configuration that the registry keeps, and waits until it is there and right: both can come. If it can't be
 * had now, or is wrong, what was in use last is taken, if that is right for this version and these flags; the
 * configuration watch goes on from there.
 */
export async function readRegistryConfig(
  options: Options,
  deps: RegistryConfigDeps,
  { signal }: { signal: AbortSignal },
): Promise<ReadConfig> {
  const { source, remembered, log } = deps;
  const backOff = new BackOff({ lastMs: LAST_RETRY_MS });
  for (;;) {
    signal.throwIfAborted();
    try {
      const text = await deps.read({ signal });
      return { config: parseConfig(text, source, options, log), text };
    } catch (error) {
      signal.throwIfAborted();
      const reason = errorText(error);
      const known = remembered === undefined
        ? undefined
        : tryParse(remembered, `${source}, as it was`, options, log);
      if (known !== undefined) {
        log.write("warn", "network configuration remembered", { source, reason });
        return known;
      }
      deps.waiting({ code: "network-config-missing", sentence: reason });
    }
    await backOff.pause({ signal });
  }
}

/** What a text says; `undefined` if it is not right. */
function tryParse(text: string, source: string, options: Options, log: Log): ReadConfig | undefined {
  try {
    return { config: parseConfig(text, source, options, log), text };
  } catch (error) {
    if (error instanceof ConfigError) return undefined;
    throw error;
  }
}

/**
 * Reads what a text says, and logs what is to be doubted in it.
 *
 * @throws {ConfigError} With every fault, if there is any.
 */
export function parseConfig(text: string, source: string, options: Options, log: Log): NetworkConfig {
  const { backendOverrides: overrides, masqueradeExclude, registry } = options;
  const areSubnetsGiven = registry.kind === "kube";
  const { config, warnings } = parseNetworkConfig(text, {
    source,
    overrides,
    masqueradeExclude,
    areSubnetsGiven,
  });
  for (const reason of warnings) log.write("warn", "configuration doubted", { reason });
  return config;
}
