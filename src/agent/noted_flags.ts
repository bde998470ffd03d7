import { FLAGS } from "../config/flags.ts";
import { besideSubnetFile } from "../config/beside_subnet_file.ts";
import { type Environment, readFlags } from "../config/parse_flags.ts";
import { fileReason } from "../file/file_reason.ts";
import { isFile, readIfThere } from "../file/read_file.ts";
import { replaceFile } from "../file/replace_file.ts";
import type { Condition } from "../model/condition.ts";
import { KeptFile } from "./kept_file.ts";

/** Commands of root read it, and nobody else. */
const MODE = 0o600;
const MAX_BYTES = 64 * 1024;
/** In the names of flags that are a secret by themselves, as `-etcd-password`. */
const SECRET_NAME = /passw|secret|token/;
/** A user and a password in a URL. */
const SECRET_TEXT = /\/\/[^/\s]*@/;
/** Variables of a pod that an agent finds its registry by, beside its own. */
const VARIABLES = [
  "NODE_NAME",
  "POD_NAME",
  "POD_NAMESPACE",
  "KUBERNETES_SERVICE_HOST",
  "KUBERNETES_SERVICE_PORT",
] as const;

/** What an agent was started with, so that commands can do without it as it would. */
export interface NotedFlags {
  /** `-iface=eth0`, those of the environment too; none that is a secret. */
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Flags that were left out, as they are secrets: `-etcd-password`. */
  readonly leftOut: readonly string[];
}

/** Where an agent notes it. */
export function notedFlagsPath(subnetFilePath: string): string {
  return besideSubnetFile(subnetFilePath, "flags.json");
}

/** What is noted of a command line and an environment. */
export function flagsToNote(args: readonly string[], environment: Environment): NotedFlags {
  const outcome = readFlags(args, environment, FLAGS);
  if (outcome.kind !== "values") return { args: [], environment: {}, leftOut: [] };
  const { given, values } = outcome.reading;
  const said = [...given.keys()].flatMap((name) => {
    const value = values.get(name)!;
    return (Array.isArray(value) ? value : [value]).map((one) => [name, String(one)] as const);
  });
  const isSecret = ([name, text]: readonly [string, string]) =>
    SECRET_NAME.test(name) || SECRET_TEXT.test(text);
  return {
    args: said.filter((flag) => !isSecret(flag)).map(([name, text]) => `-${name}=${text}`),
    environment: Object.fromEntries(
      VARIABLES.flatMap((name) => {
        const value = environment[name];
        return value === undefined || value === "" ? [] : [[name, value]];
      }),
    ),
    leftOut: [...new Set(said.filter(isSecret).map(([name]) => `-${name}`))],
  };
}

/** @throws What the file system says. */
export function writeNotedFlags(path: string, noted: NotedFlags): void {
  replaceFile(path, [`${JSON.stringify(noted)}\n`], MODE);
}

/** What is noted is there and can't be used: one sentence. */
export class NotedFlagsError extends Error {}

/**
 * What the last agent has noted; `undefined` if none has.
 *
 * @throws {NotedFlagsError} If it can't be read: nobody knows then what the agent was started with.
 */
export function readNotedFlags(path: string): NotedFlags | undefined {
  try {
    const text = readIfThere(path, MAX_BYTES);
    return text === undefined ? undefined : parseNotedFlags(text);
  } catch (error) {
    const reason = error instanceof SyntaxError ? "it is not JSON" : fileReason(error);
    throw new NotedFlagsError(
      `Cannot read the flags that the last agent has noted in ${path}: ${reason}`,
      { cause: error },
    );
  }
}

/** @throws {Error} If it is not what an agent writes. */
function parseNotedFlags(text: string): NotedFlags {
  const { args, environment, leftOut } = JSON.parse(text) ?? {};
  const isTexts = (value: unknown): value is string[] =>
    Array.isArray(value) && value.every((one) => typeof one === "string");
  if (!isTexts(args) || !isTexts(leftOut)) throw new Error("it is not what an agent writes");
  const variables = VARIABLES.flatMap((name) => {
    const value: unknown = environment?.[name];
    return typeof value === "string" ? [[name, value]] : [];
  });
  return { args, environment: Object.fromEntries(variables), leftOut };
}

/** Noted flags but for those of a name that is given now: a list that is given stands for the noted one. */
export function notGiven(noted: readonly string[], given: ReadonlySet<string>): readonly string[] {
  return noted.filter((word) => !given.has(/^--?([^=]+)/.exec(word)?.[1] ?? ""));
}

/** Keeps noted what an agent was started with. */
export class NotedFlagsKeeper {
  readonly #path: string;
  readonly #noted: NotedFlags | undefined;
  readonly #file: KeptFile;
  #isWritten = false;

  constructor(subnetFilePath: string, noted: NotedFlags | undefined) {
    this.#path = notedFlagsPath(subnetFilePath);
    this.#noted = noted;
    this.#file = new KeptFile(`what this agent was started with, ${this.#path},`);
  }

  /** That it can't be written, if so. */
  get conditions(): readonly Condition[] {
    return this.#file.conditions;
  }

  /** Writes it at first, and again once it is gone. */
  keep(): void {
    const noted = this.#noted;
    if (noted === undefined || this.#isWritten && isFile(this.#path)) return;
    this.#isWritten = this.#file.write(() => writeNotedFlags(this.#path, noted));
  }
}
