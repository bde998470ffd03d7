import { type Flag, type FlagValue, variableOf } from "./flag.ts";
import { nearest } from "./nearest.ts";
import { UsageError } from "./usage_error.ts";

/** Where a value was given. The command line is stronger. */
export type FlagSource = "flag" | "environment";

/** The environment of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The value of every flag, and what to say about them. */
export interface FlagReading {
  readonly values: ReadonlyMap<string, FlagValue>;
  /** The flags that were given, and where the value in use comes from. */
  readonly given: ReadonlyMap<string, FlagSource>;
  /** Each one line for the log. */
  readonly warnings: readonly string[];
}

/** What a command line asks for. */
export type FlagOutcome =
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | { readonly kind: "values"; readonly reading: FlagReading };

const TRUE_WORDS = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const FALSE_WORDS = new Set(["0", "f", "F", "false", "FALSE", "False"]);
const INTEGER =
  /^([+-]?)(0[xX]_?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|0[bB]_?[01]+(?:_[01]+)*|0[oO]?_?[0-7]+(?:_[0-7]+)*|0|[1-9]\d*(?:_\d+)*)$/;

/** Parses a boolean word of Go's `strconv.ParseBool`. */
function parseBoolean(text: string): boolean {
  if (TRUE_WORDS.has(text)) return true;
  if (FALSE_WORDS.has(text)) return false;
  throw new SyntaxError("must be true or false");
}

/** Parses an integer as Go's `strconv.ParseInt` with base 0 does: `0x1f`, `0b1`, `0o17`, `017`, `1_000`. */
function parseInteger(text: string): number {
  const match = INTEGER.exec(text);
  if (match === null) throw new SyntaxError("must be an integer");
  const digits = match[2]!.replaceAll("_", "").replace(/^0[oO]?(?=[0-7])/, "0o");
  const value = Number(digits);
  return match[1] === "-" && value !== 0 ? -value : value;
}

/**
 * Reads one value of `flag`.
 *
 * @throws {SyntaxError} If `text` is not of the flag's kind.
 * @throws {RangeError} If it is, and the value is not one that the flag can have.
 */
function readValue(flag: Flag, text: string): string | number | boolean {
  if (flag.kind === "boolean") return parseBoolean(text);
  if (flag.kind === "integer") {
    const value = parseInteger(text);
    const [minimum, maximum] = flag.range ?? [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER];
    if (value >= minimum && value <= maximum) return value;
    if (minimum < 0) throw new RangeError(`must be ${maximum} or less`);
    throw new RangeError(`must be ${minimum} to ${maximum}`);
  }
  if (flag.isRequired && text === "") throw new RangeError("must not be empty");
  if (flag.words !== undefined && !flag.words.includes(text)) {
    throw new RangeError(`must be one of ${flag.words.join(", ")}`);
  }
  return text;
}

/** A value is repeated in a message only where it can't be a secret. */
function readFault(flag: Flag, where: string, text: string, error: unknown): UsageError {
  const is = flag.kind === "string" && flag.words === undefined ? "" : `, is ${JSON.stringify(text)}`;
  return new UsageError(`Cannot read ${where}: ${(error as Error).message}${is}`);
}

/** A word of the command line in a message, in quotes where it has more than a name's letters. */
function shown(word: string): string {
  return /^[\w=-]+$/.test(word) ? word : JSON.stringify(word);
}

function unknownFlag(name: string, table: readonly Flag[]): UsageError {
  const near = nearest(name, table.map((flag) => flag.name));
  const hint = near === undefined ? "-help lists all flags" : `did you mean -${near}?`;
  return new UsageError(`Cannot read flag ${shown(`-${name}`)}: there is no such flag; ${hint}`);
}

interface Words {
  readonly values: Map<string, FlagValue>;
  /** What is behind the first word that is not a flag. */
  readonly rest: readonly string[];
  /** The flag before `rest`, if it was a boolean without `=`. */
  readonly last: Flag | undefined;
}

/** Reads a command line as Go's `flag` package does; absent where it asks for help. */
function readWords(argv: readonly string[], table: readonly Flag[]): Words | undefined {
  const values = new Map<string, FlagValue>();
  const words = [...argv];
  let last: Flag | undefined;
  while (words[0]?.startsWith("-") && words[0] !== "-") {
    const word = words.shift()!;
    if (word === "--") return { values, rest: words, last: undefined };
    const [, name, text] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === undefined) {
      throw new UsageError(`Cannot read flag ${shown(word)}: a name must follow the dashes`);
    }
    const flag = table.find((flag) => flag.name === name);
    if (flag === undefined && (name === "help" || name === "h")) return undefined;
    if (flag === undefined) throw unknownFlag(name, table);
    last = text === undefined && flag.kind === "boolean" ? flag : undefined;
    const given = text ?? (flag.kind === "boolean" ? "true" : words.shift());
    if (given === undefined) {
      throw new UsageError(`Cannot read -${name}: it needs a value, as -${name}=VALUE`);
    }
    try {
      const value = readValue(flag, given);
      const earlier = values.get(name) as readonly string[] | undefined ?? [];
      values.set(name, flag.kind === "list" ? [...earlier, given] : value);
    } catch (error) {
      throw readFault(flag, `-${name}`, given, error);
    }
  }
  return { values, rest: words, last };
}

function restWarning({ rest, last }: Words): string {
  const isSplit = last !== undefined && (TRUE_WORDS.has(rest[0]!) || FALSE_WORDS.has(rest[0]!));
  const hint = isSplit ? `; write -${last.name}=${rest[0]}` : "";
  return `everything from ${
    JSON.stringify(rest[0])
  } on is ignored: it is not a flag, so the flags end there${hint}`;
}

/** Adds to `values` and `given` what the environment says about flags that are not in `given`; returns warnings. */
function readEnvironment(
  environment: Environment,
  table: readonly Flag[],
  values: Map<string, FlagValue>,
  given: Map<string, FlagSource>,
): string[] {
  const warnings: string[] = [];
  for (const flag of table) {
    const variable = variableOf(flag.name);
    const text = environment[variable];
    // As in flannel, an empty variable is an absent one, and `-version` is heard only on the command line.
    if (text === undefined || text === "" || given.has(flag.name) || flag.name === "version") continue;
    try {
      const value = readValue(flag, text);
      values.set(flag.name, flag.kind === "list" ? [text] : value);
      given.set(flag.name, "environment");
    } catch (error) {
      const fault = readFault(flag, variable, text, error);
      // flannel logs what it can't read and goes on. A number that it can read and not use stops it too.
      if (flag.isNew || error instanceof RangeError) throw fault;
      warnings.push(`${fault.message}; it is ignored`);
    }
  }
  const variables = table.map((flag) => variableOf(flag.name));
  for (const variable of Object.keys(environment).sort()) {
    if (!variable.startsWith("FLANNELD_") || variables.includes(variable)) continue;
    const word = variable.slice("FLANNELD_".length);
    const near = nearest(word, variables.map((variable) => variable.slice("FLANNELD_".length)));
    if (near !== undefined) warnings.push(`${variable} is ignored: did you mean FLANNELD_${near}?`);
  }
  return warnings;
}

/**
 * Reads flags in the spelling of Go's `flag` package, then `FLANNELD_*` variables, then defaults.
 *
 * @throws {UsageError} If a flag is unknown or has a bad value, or a variable has one that is not forgiven.
 */
export function readFlags(
  argv: readonly string[],
  environment: Environment,
  table: readonly Flag[],
): FlagOutcome {
  const words = readWords(argv, table);
  if (words === undefined) return { kind: "help" };
  if (words.values.get("version") === true) return { kind: "version" };
  const warnings = words.rest.length === 0 ? [] : [restWarning(words)];
  const given = new Map<string, FlagSource>([...words.values.keys()].map((name) => [name, "flag"]));
  const values = new Map(words.values);
  warnings.push(...readEnvironment(environment, table, values, given));
  for (const flag of table) {
    if (!values.has(flag.name) && flag.default !== undefined) values.set(flag.name, flag.default);
  }
  return { kind: "values", reading: { values, given, warnings } };
}
