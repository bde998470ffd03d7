import { backendTypeFault } from "./backend_types.ts";
import { variableOf } from "./flag.ts";
import type { FlagName } from "./flags.ts";
import { JsonSyntaxError, type JsonValue, parseJson } from "./json.ts";
import type { FlagReading, FlagSource } from "./parse_flags.ts";
import { UsageError } from "./usage_error.ts";

/** What one flag or variable says about `Backend` of net-conf.json, in that file's spelling. */
export interface BackendOverride {
  /** `-vxlan-vni`, `FLANNELD_VXLAN_VNI`. */
  readonly where: string;
  readonly source: FlagSource;
  /** The backend that it asks for, lower case. */
  readonly type?: string;
  /** The only backends that `keys` are for; without it they are for any. */
  readonly onlyFor?: readonly string[];
  readonly keys: Readonly<Record<string, JsonValue>>;
}

/** The key that a flag stands for, and the backends that have it to choose. */
const KEY_FLAGS = {
  "vxlan-vni": ["VNI", ["vxlan", "auto"]],
  "vxlan-port": ["Port", ["vxlan", "auto"]],
  "vxlan-gbp": ["GBP", ["vxlan", "auto"]],
  "vxlan-learning": ["Learning", ["vxlan", "auto"]],
  "vxlan-direct-routing": ["DirectRouting", ["vxlan"]],
  "aws-route-table-ids": ["RouteTableID", ["aws-vpc"]],
  "aws-eni": ["ENI", ["aws-vpc"]],
  "aws-source-dest-check": ["SourceDestCheck", ["aws-vpc"]],
  "aws-route-conflict": ["RouteConflict", ["aws-vpc"]],
  "aws-blackhole-cleanup": ["BlackholeCleanup", ["aws-vpc"]],
} as const satisfies Partial<Record<FlagName, readonly [key: string, backends: readonly string[]]>>;

/**
 * What flags and variables say about `Backend`, weakest first: the environment, then the command line; in each
 * the object of `backend-config`, then single keys.
 *
 * @throws {UsageError} If a backend is not in this version, or `backend-config` is not an object.
 */
export function backendOverrides(reading: FlagReading): BackendOverride[] {
  return (["environment", "flag"] as const).flatMap((source) => [
    ...typeOverride(source, reading),
    ...objectOverride(source, reading),
    ...keyOverrides(source, reading),
  ]);
}

function whereIs(name: FlagName, source: FlagSource): string {
  return source === "flag" ? `-${name}` : variableOf(name);
}

function typeOverride(source: FlagSource, { values, given }: FlagReading): BackendOverride[] {
  const text = values.get("backend");
  if (given.get("backend") !== source || text === "") return [];
  const where = whereIs("backend", source);
  const type = String(text).toLowerCase();
  const fault = backendTypeFault(type);
  if (fault !== undefined) throw new UsageError(`Cannot use ${where}: ${fault}`);
  return [{ where, source, type, keys: {} }];
}

function objectOverride(source: FlagSource, reading: FlagReading): BackendOverride[] {
  const text = reading.values.get("backend-config");
  if (reading.given.get("backend-config") !== source || text === "") return [];
  const where = whereIs("backend-config", source);
  const { type: named, rest: keys } = splitType(parseObject(where, String(text)), where);
  const [beside] = typeOverride(source, reading);
  if (named !== undefined && beside !== undefined && named !== beside.type) {
    throw new UsageError(
      `Cannot use ${where}: its Type is ${named}, but ${beside.where} says ${beside.type}`,
    );
  }
  const type = named ?? beside?.type;
  return [{ where, source, ...type !== undefined && { type }, keys }];
}

/** The object in `text`, which may hold a secret and is not repeated in a message. */
function parseObject(where: string, text: string): Readonly<Record<string, JsonValue>> {
  let value: JsonValue;
  try {
    value = parseJson(text);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw new UsageError(`Cannot read ${where}: line ${error.line} column ${error.column}: ${error.reason}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UsageError(`Cannot read ${where}: must be a JSON object, as {"VNI":1}`);
  }
  return value as Readonly<Record<string, JsonValue>>;
}

function splitType(
  object: Readonly<Record<string, JsonValue>>,
  where: string,
): { readonly type: string | undefined; readonly rest: Readonly<Record<string, JsonValue>> } {
  const isType = (key: string) => key.toLowerCase() === "type";
  const rest = Object.fromEntries(Object.entries(object).filter(([key]) => !isType(key)));
  const given = Object.entries(object).findLast(([key]) => isType(key))?.[1];
  if (given === undefined || given === null) return { type: undefined, rest };
  const type = typeof given === "string" ? given.toLowerCase() : undefined;
  const fault = type === undefined ? "must be text" : backendTypeFault(type);
  if (fault !== undefined) throw new UsageError(`Cannot use ${where}: Type: ${fault}`);
  return { type, rest };
}

function keyOverrides(source: FlagSource, { values, given }: FlagReading): BackendOverride[] {
  const overrides: BackendOverride[] = [];
  const mtuBytes = values.get("mtu") as number;
  // 0 leaves the MTU to the file: a manifest can name the variable and not mean it.
  if (given.get("mtu") === source && mtuBytes !== 0) {
    overrides.push({ where: whereIs("mtu", source), source, keys: { MTU: mtuBytes } });
  }
  for (const name of Object.keys(KEY_FLAGS) as (keyof typeof KEY_FLAGS)[]) {
    if (given.get(name) !== source) continue;
    const [key, onlyFor] = KEY_FLAGS[name];
    const value = values.get(name) as number | boolean | string;
    overrides.push({ where: whereIs(name, source), source, onlyFor, keys: { [key]: value } });
  }
  return overrides;
}
