import { JsonSyntaxError, type JsonValue, parseJson } from "../config/json.ts";
import { CNI_CODE, CniError } from "./cni_error.ts";
import { isObject, type JsonObject } from "./net_conf.ts";
import { versionRank } from "./versions.ts";

/** The first version in which CHECK and DEL are told the result of ADD. */
const FIRST_WITH_RESULT = "0.4.0";
const QUOTED_LENGTH = 200;

/** The JSON object that `text` is; absent if it is none. */
export function objectOf(text: string): JsonObject | undefined {
  try {
    const value = parseJson(text);
    return isObject(value) ? value : undefined;
  } catch (error) {
    if (error instanceof JsonSyntaxError) return undefined;
    throw error;
  }
}

/**
 * A delegate's result in the version of the request; the very text where that is the same.
 *
 * @throws {CniError} If it is no result.
 */
export function convertResult(
  printed: string,
  { from, to, type }: { readonly from: string; readonly to: string; readonly type: string },
): string {
  const result = objectOf(printed);
  if (result === undefined) {
    const quoted = printed.slice(0, QUOTED_LENGTH);
    throw new CniError(CNI_CODE.internal, `plugin ${type} printed no result`, JSON.stringify(quoted));
  }
  if (from === to) return printed;
  const ips = Array.isArray(result.ips) ? result.ips.map(withoutFamily) : undefined;
  const converted = { ...result, cniVersion: to, ...ips !== undefined && { ips } };
  return `${JSON.stringify(converted, undefined, 4)}\n`;
}

/** Before 1.0.0 an address says of which family it is. */
function withoutFamily(address: JsonValue): JsonValue {
  if (!isObject(address)) return address;
  const { version: _, ...rest } = address;
  return rest;
}

/**
 * A result in which each route says by which gateway it goes: where it says none, its family's address does. The
 * same to a reader of the specification; but `bridge` up to 1.1.1 looks for such a route without gateway when it
 * checks, and never finds it.
 */
export function withGateways(result: JsonObject): JsonObject {
  const { routes, ips } = result;
  if (!Array.isArray(routes) || !Array.isArray(ips)) return result;
  const isV6 = (address: JsonValue | undefined) => typeof address === "string" && address.includes(":");
  const gatewayFor = (dst: JsonValue | undefined) =>
    ips.find((ip) => isObject(ip) && typeof ip.gateway === "string" && isV6(ip.gateway) === isV6(dst)) as
      | JsonObject
      | undefined;
  const complete = (route: JsonValue) => {
    if (!isObject(route) || route.gw !== undefined) return route;
    const gw = gatewayFor(route.dst)?.gateway;
    return gw === undefined ? route : { ...route, gw };
  };
  return { ...result, routes: routes.map(complete) };
}

/**
 * A saved configuration as it is sent again: with the result of ADD where its version has that, else to the byte.
 *
 * @param config What `text` is.
 */
export function withResult(text: string, config: JsonObject, prevResult: JsonObject | undefined): string {
  const version = typeof config.cniVersion === "string" ? config.cniVersion : "";
  if (prevResult === undefined || versionRank(version) < versionRank(FIRST_WITH_RESULT)) return text;
  return JSON.stringify({ ...config, prevResult: { ...prevResult, cniVersion: version } });
}
