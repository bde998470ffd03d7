/** A JSON object. */
export type Json = Record<string, unknown>;

export function isJson(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Merges `patch` into `target` as the API server does for Nodes: `null` deletes, objects are merged, lists replaced, but
 * for conditions and addresses, which are merged by their `type`.
 *
 * Source: Kubernetes documentation, "Update API Objects in Place Using kubectl patch".
 */
export function strategicMerge(target: unknown, patch: unknown, key = ""): unknown {
  if (Array.isArray(patch) && (key === "conditions" || key === "addresses")) {
    const merged = Array.isArray(target) ? [...target] : [];
    for (const item of patch) {
      const at = merged.findIndex((other) => isJson(other) && isJson(item) && other.type === item.type);
      if (at < 0) merged.push(item);
      else merged[at] = strategicMerge(merged[at], item);
    }
    return merged;
  }
  if (Array.isArray(patch) && key === "podCIDRs") {
    const others = Array.isArray(target) ? target.filter((item) => !patch.includes(item)) : [];
    return [...patch, ...others];
  }
  return mergeObjects(target, patch, strategicMerge);
}

/** Merges `patch` into `target`: `null` deletes, objects are merged, all else is replaced (RFC 7396). */
export function mergePatch(target: unknown, patch: unknown): unknown {
  return mergeObjects(target, patch, mergePatch);
}

function mergeObjects(
  target: unknown,
  patch: unknown,
  merge: (target: unknown, patch: unknown, key: string) => unknown,
): unknown {
  if (!isJson(patch)) return patch;
  const merged: Json = isJson(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = merge(merged[name], value, name);
  }
  return merged;
}

/** A refusal as the API server words it. */
export interface Refusal {
  readonly status: number;
  readonly reason: string;
  readonly message: string;
}

export function refusal(status: number, reason: string, message: string): Refusal {
  return { status, reason, message };
}

/** The `Status` object of a refusal. */
export function statusObject({ status, reason, message }: Refusal): Json {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, code: status };
}
