import { JsonSyntaxError, type JsonValue, parseMembers } from "../config/json.ts";
import { CNI_CODE, CniError } from "./cni_error.ts";
import { hasHugeNumber, structOf } from "./go_json.ts";
import { DEFAULT_VERSION } from "./versions.ts";
import { isCniName } from "./cni_name.ts";

/** A JSON object. */
export type JsonObject = Readonly<Record<string, JsonValue>>;

/** What stands in a conflist for a plugin of type `flannel`, and what the runtime adds to it. */
export interface NetConf {
  readonly name: string;
  /** The version that the configuration names; empty if it names none, which means 0.1.0. */
  readonly cniVersion: string;
  readonly subnetFile: string | undefined;
  readonly dataDir: string | undefined;
  /** The backend that the network is for; absent where any will do. */
  readonly backend: string | undefined;
  /** What the delegate's configuration begins with. */
  readonly delegate: JsonObject;
  /** What its `ipam` begins with. */
  readonly ipam: JsonObject;
  readonly runtimeConfig: JsonObject | undefined;
  readonly prevResult: JsonObject | undefined;
  /** For GC: the attachments that there still are. */
  readonly validAttachments: readonly { readonly containerId: string; readonly ifname: string }[] | undefined;
}

/** The keys of a configuration that are of use. */
export const NET_CONF_SHAPE = {
  name: "text",
  cniVersion: "text",
  subnetFile: "text",
  dataDir: "text",
  backend: "text",
  delegate: "object",
  ipam: "object",
  runtimeConfig: "object",
  prevResult: "object",
  "cni.dev/valid-attachments": "list",
} as const;
const ATTACHMENT_SHAPE = { containerID: "text", ifname: "text" } as const;

/** What of a configuration must be right: all that a delegate is given, or what an attachment is found again by. */
export type Strictness = "whole" | "findable";

/**
 * Parses what the runtime writes to standard input.
 *
 * @throws {CniError} With code 6 if it is no JSON object, else with code 7.
 */
export function parseNetConf(text: string, strictness: Strictness = "whole"): NetConf {
  return readNetConf(membersOf(text), strictness);
}

function membersOf(text: string): [string, JsonValue][] {
  let members: [string, JsonValue][] | undefined;
  try {
    members = parseMembers(text);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    const { line, column, reason } = error;
    throw new CniError(
      CNI_CODE.undecodable,
      "cannot decode the network configuration",
      `line ${line} column ${column}: ${reason}`,
    );
  }
  if (members === undefined) {
    throw new CniError(CNI_CODE.undecodable, "cannot decode the network configuration", "must be an object");
  }
  return members;
}

/** The members of the JSON object that `text` is; absent if it is none. */
export function membersIn(text: string): [key: string, value: JsonValue][] | undefined {
  try {
    return parseMembers(text);
  } catch (error) {
    if (error instanceof JsonSyntaxError) return undefined;
    throw error;
  }
}

/**
 * Reads the configuration of one plugin as flannel's does: keys in any case, as `encoding/json` has them.
 *
 * @param members Its members, in the order of the text.
 * @param strictness With `findable` only name, version and `dataDir` must be right: what was refused by ADD must not be
 * refused for ever by the DEL that follows. What else is wrong is absent then.
 * @throws {CniError} With code 7: which key, what it must be, what it is.
 */
export function readNetConf(
  members: Iterable<readonly [string, JsonValue]>,
  strictness: Strictness = "whole",
): NetConf {
  const conf = structOf(members, NET_CONF_SHAPE);
  const name = textOf(conf, "name") ?? "";
  if (name === "") throw invalid("missing network name", "the key name must name the network");
  if (!isCniName(name)) throw invalid("invalid characters found in network name", JSON.stringify(name));
  const found = {
    name,
    cniVersion: textOf(conf, "cniVersion") ?? "",
    dataDir: textOf(conf, "dataDir") || undefined,
  };
  const others = <T>(read: () => T, otherwise: T) =>
    strictness === "whole" ? read() : orElse(read, otherwise);
  return {
    ...found,
    subnetFile: others(() => textOf(conf, "subnetFile") || undefined, undefined),
    backend: others(() => textOf(conf, "backend") || undefined, undefined),
    delegate: others(() => delegateOf(conf), {}),
    ipam: others(() => objectAt(conf, "ipam") ?? {}, {}),
    runtimeConfig: others(() => objectAt(conf, "runtimeConfig"), undefined),
    prevResult: others(() => objectAt(conf, "prevResult"), undefined),
    validAttachments: others(() => attachmentsOf(conf["cni.dev/valid-attachments"]), undefined),
  };
}

function orElse<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    return otherwise;
  }
}

function delegateOf(conf: JsonObject): JsonObject {
  const delegate = objectAt(conf, "delegate") ?? {};
  if (Object.hasOwn(delegate, "type") && typeof delegate.type !== "string") {
    throw invalid("'delegate' dictionary, if present, must have (string) 'type' field");
  }
  for (const key of ["name", "ipam"]) {
    if (!Object.hasOwn(delegate, key)) continue;
    throw invalid(`'delegate' dictionary must not have '${key}' field, it'll be set by flannel`);
  }
  return delegate;
}

/** The version of the specification that `conf` speaks. */
export function versionOf({ cniVersion }: Pick<NetConf, "cniVersion">): string {
  return cniVersion === "" ? DEFAULT_VERSION : cniVersion;
}

/** The version that text on standard input names, to answer in it, even if all else of it is wrong. */
export function guessVersion(text: string): string {
  try {
    return textOf(structOf(membersOf(text), NET_CONF_SHAPE), "cniVersion") || DEFAULT_VERSION;
  } catch {
    return DEFAULT_VERSION;
  }
}

/** Reports whether `value` is a JSON object. */
export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(conf: JsonObject, key: string): string | undefined {
  const value = conf[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw invalid(`invalid network configuration: ${key}`, "must be text");
  return value;
}

function objectAt(conf: JsonObject, key: string): JsonObject | undefined {
  const value = conf[key];
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw invalid(`invalid network configuration: ${key}`, "must be an object");
  if (hasHugeNumber(value)) {
    throw invalid(`invalid network configuration: ${key}`, "has a number that is too large");
  }
  return value;
}

function attachmentsOf(value: JsonValue | undefined): NetConf["validAttachments"] {
  if (value === undefined || value === null) return undefined;
  const items = Array.isArray(value) ? value as readonly JsonValue[] : undefined;
  const attachments = items?.map((item) =>
    isObject(item) ? structOf(Object.entries(item), ATTACHMENT_SHAPE) : {}
  );
  return (attachments ?? [{}]).map(({ containerID, ifname }) => {
    if (typeof containerID === "string" && typeof ifname === "string") {
      return { containerId: containerID, ifname };
    }
    throw invalid(
      "invalid network configuration: cni.dev/valid-attachments",
      "must be containerID and ifname",
    );
  });
}

function invalid(message: string, details?: string): CniError {
  return new CniError(CNI_CODE.invalidConfig, message, details);
}
