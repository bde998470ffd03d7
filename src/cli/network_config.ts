import { type NetworkConfig, parseNetworkConfig } from "../config/network.ts";
import type { Options } from "../config/options.ts";
import { BackOff } from "../lease/back_off.ts";
import { pause } from "../lease/pause.ts";
import { fileReason } from "../log/file_reason.ts";
import type { Log } from "../log/log.ts";
import { errorText } from "./keep_running.ts";

/** Between attempts to read a configuration that is not to be had yet. */
const FIRST_RETRY_MS = 200;
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
  readonly waiting: (reason: string) => void;
  readonly log: Log;
}

/**
 * Reads net-conf.json.
 *
 * @throws {Error} If it can't be read, or is wrong: one sentence.
 */
export async function readConfigFile(options: Options, log: Log): Promise<ReadConfig> {
  const text = await readConfigText(options.networkConfigPath);
  return { config: parseConfig(text, options.networkConfigPath, options, log), text };
}

/**
 * Reads the text of net-conf.json.
 *
 * @throws {Error} If it can't be read: one sentence.
 */
export async function readConfigText(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    throw new Error(
      `Cannot read the network configuration ${path}: ${
        fileReason(error)
      }; write it, or name another file with ` +
        "-net-config-path",
    );
  }
}

/**
 * Reads the configuration that the registry keeps, and waits until it is there and right: both can come. Only while
 * the registry does not answer, what was in use last will do.
 */
export async function readRegistryConfig(
  options: Options,
  deps: RegistryConfigDeps,
  { signal }: { signal: AbortSignal },
): Promise<ReadConfig> {
  const { source, remembered, log } = deps;
  const backOff = new BackOff({ firstMs: FIRST_RETRY_MS, lastMs: LAST_RETRY_MS, random: Math.random });
  let last: string | undefined;
  for (;;) {
    signal.throwIfAborted();
    try {
      const text = await deps.read({ signal });
      return { config: parseConfig(text, source, options, log), text };
    } catch (error) {
      signal.throwIfAborted();
      const reason = errorText(error);
      if (reason !== last) log.write("warn", "network configuration not read", { reason });
      if (remembered !== undefined) {
        log.write("warn", "network configuration remembered", { source });
        return { config: parseConfig(remembered, `${source}, as it was`, options, log), text: remembered };
      }
      last = reason;
      deps.waiting(reason);
    }
    await pause(backOff.next(), { signal });
  }
}

/**
 * Reads what a text says, and logs what is to be doubted in it.
 *
 * @throws {ConfigError} With every fault, if there is any.
 */
export function parseConfig(text: string, source: string, options: Options, log: Log): NetworkConfig {
  const { backendOverrides: overrides, masqueradeExclude } = options;
  const { config, warnings } = parseNetworkConfig(text, { source, overrides, masqueradeExclude });
  for (const reason of warnings) log.write("warn", "configuration doubted", { reason });
  return config;
}
