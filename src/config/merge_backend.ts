import type { BackendOverride } from "./backend_overrides.ts";
import { BACKEND_KEYS, type BackendConfig, isBackendType } from "./backend_schema.ts";
import { BACKEND_TYPES, backendTypeFault } from "./backend_types.ts";
import type { ConfigFault } from "./config_error.ts";
import { foldKeys, isObject } from "./fold_keys.ts";
import type { JsonValue } from "./json.ts";
import { mustBe } from "./schema_parts.ts";

/** `Backend` after flags and variables have had their say. */
export interface MergedBackend {
  /** The default one where what was asked for is a fault. */
  readonly type: BackendConfig["type"];
  readonly members: Readonly<Record<string, JsonValue>>;
  /** Where each member comes from. */
  readonly origins: ReadonlyMap<string, string>;
  readonly faults: ConfigFault[];
  readonly warnings: readonly string[];
}

/** The backend of a file without `Backend`. */
const DEFAULT_TYPE = "vxlan";

/**
 * Lays overrides over the file's `Backend`, weakest first.
 *
 * An override for another type than the file's discards the file's object as a whole: keys of two backends are
 * never mixed.
 */
export function mergeBackend(
  raw: JsonValue | undefined,
  options: { readonly source: string; readonly overrides: readonly BackendOverride[] },
): MergedBackend {
  const { source, overrides } = options;
  const members: Record<string, JsonValue> = {};
  const origins = new Map<string, string>();
  const faults: ConfigFault[] = [];
  const warnings: string[] = [];
  const chooser = overrides.findLast((override) => override.type !== undefined);
  const file = readType(raw, source, chooser !== undefined);
  const type = chooser?.type ?? file.type;
  const used = isBackendType(type) ? type : DEFAULT_TYPE;
  const lay = (where: string, keys: Readonly<Record<string, JsonValue>>, prefix: string) => {
    const folded = foldKeys(keys, BACKEND_KEYS[used]);
    for (const [key, value] of Object.entries(folded.members)) {
      // As in Go, null says nothing.
      if (value === null) continue;
      members[key] = value;
      origins.set(key, where);
    }
    for (const { key, near } of folded.typos) {
      warnings.push(`${where}: ${prefix}${key} is ignored: did you mean ${near}?`);
    }
    for (const key of Object.keys(keys).filter((key) => isOfOther(key, used))) {
      warnings.push(`${where}: ${prefix}${key} is ignored: backend ${used} has no such key`);
    }
  };
  if (type !== undefined && file.type !== undefined && type !== file.type) {
    const what = `Backend of type ${
      JSON.stringify(file.type)
    } is discarded: ${chooser?.where} asks for ${type}`;
    warnings.push(`${source}: ${what}; hosts with another backend are not reached`);
  } else {
    faults.push(...file.faults);
    const fault = type === undefined ? undefined : backendTypeFault(type);
    if (fault !== undefined) faults.push({ where: source, path: "Backend.Type", message: fault });
    // Keys of a backend that is not here would only look wrong.
    if (faults.length === 0) lay(source, file.keys, "Backend.");
  }
  for (const override of overrides) {
    if (override.type !== undefined && override.type !== type) continue;
    if (override.onlyFor !== undefined && !override.onlyFor.includes(used)) continue;
    lay(override.where, override.keys, "");
  }
  return { type: used, members, origins, faults, warnings };
}

/** Reports whether `key`, in any case, is one of other backends only. */
function isOfOther(key: string, type: BackendConfig["type"]): boolean {
  const isIn = (keys: readonly string[]) => keys.some((known) => known.toLowerCase() === key.toLowerCase());
  return !isIn(BACKEND_KEYS[type]) && Object.values(BACKEND_KEYS).some(isIn);
}

interface FileBackend {
  /** Lower case; absent where the file has a `Backend` that names none. */
  readonly type: string | undefined;
  readonly keys: Readonly<Record<string, JsonValue>>;
  readonly faults: readonly ConfigFault[];
}

function readType(raw: JsonValue | undefined, source: string, isOverridden: boolean): FileBackend {
  const refuse = (path: string, message: string): FileBackend => ({
    type: undefined,
    keys: {},
    faults: [{ where: source, path, message }],
  });
  if (raw === undefined) return { type: DEFAULT_TYPE, keys: {}, faults: [] };
  if (raw !== null && !isObject(raw)) return refuse("Backend", mustBe("an object", raw));
  const keys = Object.fromEntries(Object.entries(raw ?? {}).filter(([key]) => key.toLowerCase() !== "type"));
  const type = foldKeys(raw ?? {}, ["Type"]).members["Type"] ?? "";
  if (typeof type !== "string") return refuse("Backend.Type", mustBe("text", type));
  if (type !== "") return { type: type.toLowerCase(), keys, faults: [] };
  if (isOverridden) return { type: undefined, keys, faults: [] };
  return refuse("Backend.Type", `is missing; it must be one of ${BACKEND_TYPES.join(", ")}`);
}
