import type { PlannedChange } from "../../model/host_plan.ts";

/** What one request to the kernel changes, from the verb phrase that says what is asked for. */
export type ActionWords = (action: string) => PlannedChange | undefined;

/** Of a bridge: `add address 10.244.1.1/24 to cni0`, `set cni0 up`. */
export function bridgeAction(action: string): PlannedChange | undefined {
  const [, verb, prefix, link] = /^(add|remove) address (\S+) (?:to|from) (\S+)$/.exec(action) ?? [];
  if (verb !== undefined) {
    const object = `address ${prefix} dev ${link}`;
    return { kind: "address", object, ...verb === "add" ? { becomes: "" } : { was: "" } };
  }
  const [, down] = /^set (\S+) up$/.exec(action) ?? [];
  if (down !== undefined) {
    return { kind: "link", object: `link ${down} state`, was: "down", becomes: "up" };
  }
  // The MAC that the bridge has already is made its own.
  if (action.startsWith("fix the MAC of ")) return undefined;
  return { kind: "link", object: action, becomes: "" };
}

/** Of the way out of pods: `add rule from 10.244.1.0/24 lookup 7676`, `delete route 10.0.0.0/16 via 10.0.1.1`. */
export function wayOutAction(table: number): ActionWords {
  return (action) => {
    const [, verb, kind, rest] = /^(add|delete) (rule|route) (.*)$/.exec(action) ?? [];
    if (verb === undefined) return bridgeAction(action) ?? { kind: "link", object: action, becomes: "" };
    const value = verb === "add" ? { becomes: "" } : { was: "" };
    return kind === "rule"
      ? { kind: "ip rule", object: `rule ${rest}`, ...value }
      : { kind: "route", object: `route ${rest} table ${table}`, ...value };
  };
}
