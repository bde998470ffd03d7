import { JsonSyntaxError, type JsonValue, parseJson } from "../config/json.ts";
import { CNI_CODE, CniError } from "./cni_error.ts";
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

/**
 * Parses what the runtime writes to standard input.
 *
 * @throws {CniError} With code 6 if it is no JSON object, else with code 7.
 */
export function parseNetConf(text: string): NetConf {
  return readNetConf(objectOf(text));
}

function objectOf(text: string): JsonObject {
  let value: JsonValue;
  try {
    value = parseJson(text);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    const { line, column, reason } = error;
    throw new CniError(
      CNI_CODE.undecodable,
      "cannot decode the network configuration",
      `line ${line} column ${column}: ${reason}`,
    );
  }
  if (!isObject(value)) {
    throw new CniError(CNI_CODE.undecodable, "cannot decode the network configuration", "must be an object");
  }
  return value;
}

/**
 * Reads the configuration of one plugin.
 *
 * @throws {CniError} With code 7: which key, what it must be, what it is.
 */
export function readNetConf(conf: JsonObject): NetConf {
  const name = textOf(conf, "name") ?? "";
  if (name === "") throw invalid("missing network name", "the key name must name the network");
  if (!isCniName(name)) throw invalid("invalid characters found in network name", JSON.stringify(name));
  const delegate = objectAt(conf, "delegate") ?? {};
  if (Object.hasOwn(delegate, "type") && typeof delegate.type !== "string") {
    throw invalid("'delegate' dictionary, if present, must have (string) 'type' field");
  }
  for (const key of ["name", "ipam"]) {
    if (!Object.hasOwn(delegate, key)) continue;
    throw invalid(`'delegate' dictionary must not have '${key}' field, it'll be set by flannel`);
  }
  return {
    name,
    cniVersion: textOf(conf, "cniVersion") ?? "",
    subnetFile: textOf(conf, "subnetFile") || undefined,
    dataDir: textOf(conf, "dataDir") || undefined,
    backend: textOf(conf, "backend") || undefined,
    delegate,
    ipam: objectAt(conf, "ipam") ?? {},
    runtimeConfig: objectAt(conf, "runtimeConfig"),
    prevResult: objectAt(conf, "prevResult"),
    validAttachments: attachmentsOf(conf["cni.dev/valid-attachments"]),
  };
}

/** The version of the specification that `conf` speaks. */
export function versionOf({ cniVersion }: Pick<NetConf, "cniVersion">): string {
  return cniVersion === "" ? DEFAULT_VERSION : cniVersion;
}

/** The version that text on standard input names, to answer in it, even if all else of it is wrong. */
export function guessVersion(text: string): string {
  try {
    return textOf(objectOf(text), "cniVersion") || DEFAULT_VERSION;
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
  return value;
}

function attachmentsOf(value: JsonValue | undefined): NetConf["validAttachments"] {
  if (value === undefined || value === null) return undefined;
  const isAttachment = (item: JsonValue) =>
    isObject(item) && typeof item.containerID === "string" && typeof item.ifname === "string";
  if (!Array.isArray(value) || !value.every(isAttachment)) {
    throw invalid(
      "invalid network configuration: cni.dev/valid-attachments",
      "must be containerID and ifname",
    );
  }
  return (value as JsonObject[]).map(({ containerID, ifname }) => ({
    containerId: containerID as string,
    ifname: ifname as string,
  }));
}

function invalid(message: string, details?: string): CniError {
  return new CniError(CNI_CODE.invalidConfig, message, details);
}
