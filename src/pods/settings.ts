import { CNI_CODE, CniError } from "./cni_error.ts";
import type { NetConf, Strictness } from "./net_conf.ts";

/** The environment of a process, by name. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** What the plugin's own environment says: `FLANNEL_CNI_*`. A variable that is empty is not there. */
export interface Settings {
  readonly subnetFile: string | undefined;
  readonly dataDir: string | undefined;
  readonly backend: string | undefined;
  readonly delegateType: string | undefined;
  readonly mtuBytes: number | undefined;
  /** Whether the delegate masquerades. */
  readonly isMasquerading: boolean | undefined;
  readonly logLevel: "debug" | "info" | "warn" | "error";
  /** Where log lines are appended; standard error where absent. */
  readonly logFilePath: string | undefined;
}

const DEFAULT_SUBNET_FILE = "/run/flannel/subnet.env";
/** Where flannel's plugin keeps its state. */
export const DEFAULT_DATA_DIR = "/var/lib/cni/flannel";
const LARGEST_MTU_BYTES = 65_535;
const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
const BOOLEANS: Readonly<Record<string, boolean>> = { true: true, false: false, 1: true, 0: false };

/**
 * Reads the variables of the plugin.
 *
 * @param strictness With `findable` a value that can't be meant is absent.
 * @throws {CniError} With code 4, for a value that can't be meant.
 */
export function readSettings(variables: Variables, strictness: Strictness = "whole"): Settings {
  if (strictness === "findable") return readSettings(meant(variables));
  const text = (name: string) => variables[`FLANNEL_CNI_${name}`] || undefined;
  const oneOf = <T>(name: string, words: Readonly<Record<string, T>>): T | undefined => {
    const value = text(name)?.toLowerCase();
    if (value === undefined) return undefined;
    if (!Object.hasOwn(words, value)) {
      throw wrong(name, `must be one of ${Object.keys(words).join(", ")}, is ${JSON.stringify(value)}`);
    }
    return words[value];
  };
  const levels = Object.fromEntries(LOG_LEVELS.map((level) => [level, level]));
  return {
    subnetFile: text("SUBNET_FILE"),
    dataDir: text("DATA_DIR"),
    backend: text("BACKEND"),
    delegateType: text("DELEGATE_TYPE"),
    mtuBytes: mtuOf(text("MTU")),
    isMasquerading: oneOf("IP_MASQ", BOOLEANS),
    logLevel: oneOf("LOG_LEVEL", levels) ?? "warn",
    logFilePath: text("LOG_FILE"),
  };
}

/** Where the subnet file is: what the conflist says, else the environment, else flannel's place. */
export function subnetFileOf(conf: Pick<NetConf, "subnetFile">, settings: Settings): string {
  return conf.subnetFile ?? settings.subnetFile ?? DEFAULT_SUBNET_FILE;
}

/** Where state is kept: what the conflist says, else the environment, else flannel's place. */
export function dataDirOf(conf: Pick<NetConf, "dataDir">, settings: Settings): string {
  return conf.dataDir ?? settings.dataDir ?? DEFAULT_DATA_DIR;
}

/** The variables without those that can't be meant. */
function meant(variables: Variables): Variables {
  const isMeant = (name: string) => {
    try {
      readSettings({ [name]: variables[name] });
      return true;
    } catch {
      return false;
    }
  };
  return Object.fromEntries(
    Object.entries(variables).filter(([name]) => name.startsWith("FLANNEL_CNI_") && isMeant(name)),
  );
}

function mtuOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,5}$/.test(text) || Number(text) < 1 || Number(text) > LARGEST_MTU_BYTES) {
    throw wrong("MTU", `must be 1 to ${LARGEST_MTU_BYTES} bytes, is ${JSON.stringify(text.slice(0, 80))}`);
  }
  return Number(text);
}

function wrong(name: string, details: string): CniError {
  return new CniError(CNI_CODE.invalidEnvironment, `invalid variable FLANNEL_CNI_${name}`, details);
}
