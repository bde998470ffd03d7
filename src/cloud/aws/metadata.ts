import { parseAnyAddress, parseExactPrefix } from "../../config/address_text.ts";
import { readCapped } from "./read_capped.ts";
import { connectionReason } from "../../log/connection_reason.ts";
import { type Address, type Mac, parseMac, type Prefix } from "../../model/address.ts";

/** The service is a step away: one that has not answered by then does not. */
const ANSWER_MS = 2000;
const MAX_ANSWER_BYTES = 64 * 1024;
const IPV4 = "http://169.254.169.254";
const IPV6 = "http://[fd00:ec2::254]";
const TOKEN_HEADER = "x-aws-ec2-metadata-token";
const TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN_SECONDS = "21600";
/** More interfaces than the largest instance has. */
const MAX_INTERFACES = 64;
const MACS = "network/interfaces/macs/";
/** Of what is not understood. */
const MAX_SHOWN = 60;

/** A network interface that is attached to this instance, as the instance metadata service knows it. */
export interface AttachedInterface {
  /** `eni-0abc`. */
  readonly id: string;
  readonly mac: Mac;
  readonly deviceIndex: number;
  readonly subnetId: string;
  readonly vpcId: string;
  readonly addresses: readonly Address[];
  /** The subnets that it is in, at most one of each family. */
  readonly subnetPrefixes: readonly Prefix[];
  /** All prefixes of its VPC. */
  readonly vpcPrefixes: readonly Prefix[];
  readonly securityGroupIds: readonly string[];
}

/** What an instance knows of itself. */
export interface InstanceFacts {
  /** `eu-west-1`. */
  readonly region: string;
  readonly instanceId: string;
  readonly interfaces: readonly AttachedInterface[];
}

/** The instance metadata service has not said what it was asked for. */
export class MetadataError extends Error {
  override readonly name = "MetadataError";
}

/** Answers what stands at the path below `/latest/meta-data`; `undefined` where there is no such thing. */
export type ReadMetadata = (path: string) => Promise<string | undefined>;

/**
 * Asks the instance metadata service of version 2, at the address that the environment names. A token is asked for once
 * for each reader, and again when it is refused.
 *
 * Source: Amazon EC2 user guide, "Use the Instance Metadata Service to access instance metadata".
 */
export function metadataReader(environment: Readonly<Record<string, string | undefined>>): ReadMetadata {
  const endpoint = endpointOf(environment);
  let token: string | undefined;
  const ask = async (method: "GET" | "PUT", path: string, headers: Record<string, string>) => {
    try {
      const signal = AbortSignal.timeout(ANSWER_MS);
      const response = await fetch(`${endpoint}/latest/${path}`, {
        method,
        headers,
        redirect: "error",
        signal,
      });
      return { status: response.status, text: await readCapped(response, MAX_ANSWER_BYTES) };
    } catch (error) {
      const why = error instanceof DOMException
        ? `nothing within ${ANSWER_MS / 1000} s`
        : connectionReason(error);
      throw unanswered(why);
    }
  };
  const newToken = async () => {
    const { status, text } = await ask("PUT", "api/token", { [TTL_HEADER]: TOKEN_SECONDS });
    if (status !== 200) throw unanswered(`no token, but status ${status}`);
    return token = text;
  };
  return async (path) => {
    const get = (token: string) => ask("GET", `meta-data/${path}`, { [TOKEN_HEADER]: token });
    let answer = await get(token ?? await newToken());
    if (answer.status === 401) answer = await get(await newToken());
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw unanswered(`status ${answer.status}`);
    return answer.text;
  };
}

function endpointOf(environment: Readonly<Record<string, string | undefined>>): string {
  if (environment["AWS_EC2_METADATA_DISABLED"]?.toLowerCase() === "true") {
    throw new MetadataError(
      "AWS_EC2_METADATA_DISABLED says not to ask the instance what it is; leave it out",
    );
  }
  const named = environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"];
  if (named !== undefined && named !== "") {
    if (!URL.canParse(named) || !/^https?:/i.test(named)) {
      throw new MetadataError(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT is no URL, as http://169.254.169.254 is one; leave it out",
      );
    }
    return named.replace(/\/+$/, "");
  }
  return environment["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"]?.toLowerCase() === "ipv6" ? IPV6 : IPV4;
}

function unanswered(why: string): MetadataError {
  return new MetadataError(
    `the instance metadata service does not answer (${why}); turn it on for this instance, ` +
      "with a hop limit of 2 if the agent is not in the host's network",
  );
}

/**
 * Asks what this instance is.
 *
 * @param region The one that the environment names, if any: else the instance's.
 * @throws {MetadataError} If the service does not say it.
 */
export async function readInstance(read: ReadMetadata, region: string | undefined): Promise<InstanceFacts> {
  const must = async (path: string) => {
    const text = (await read(path) ?? "").trim();
    if (text === "") {
      throw new MetadataError(`the instance metadata service has no ${path}: is this an EC2 instance?`);
    }
    return text;
  };
  const instanceId = word("instance-id", await must("instance-id"));
  const macs = linesOf(await must(MACS)).slice(0, MAX_INTERFACES).map((name) => name.replace(/\/$/, ""));
  return {
    region: region ?? word("placement/region", await must("placement/region")),
    instanceId,
    interfaces: await Promise.all(macs.map((mac) => readInterface({ read, must }, mac))),
  };
}

async function readInterface(
  { read, must }: { readonly read: ReadMetadata; readonly must: (path: string) => Promise<string> },
  name: string,
): Promise<AttachedInterface> {
  const mac = understood(MACS, name, parseMac);
  const at = `${MACS}${name}/`;
  const list = async <T>(key: string, parse: (text: string) => T) =>
    linesOf(await read(`${at}${key}`) ?? "").map((line) => understood(`${at}${key}`, line, parse));
  const one = async (key: string) => word(`${at}${key}`, await must(`${at}${key}`));
  return {
    id: await one("interface-id"),
    mac,
    deviceIndex: understood(`${at}device-number`, await must(`${at}device-number`), parseIndex),
    subnetId: await one("subnet-id"),
    vpcId: await one("vpc-id"),
    addresses: [...await list("local-ipv4s", parseAnyAddress), ...await list("ipv6s", parseAnyAddress)],
    subnetPrefixes: [
      ...await list("subnet-ipv4-cidr-block", parseExactPrefix),
      ...await list("subnet-ipv6-cidr-blocks", parseExactPrefix),
    ],
    vpcPrefixes: [
      ...await list("vpc-ipv4-cidr-blocks", parseExactPrefix),
      ...await list("vpc-ipv6-cidr-blocks", parseExactPrefix),
    ],
    securityGroupIds: await list("security-group-ids", parseWord),
  };
}

/** What `parse` makes of a text that stands at `path`. */
function understood<T>(path: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch {
    const shown = JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text);
    throw new MetadataError(
      `the instance metadata service says ${shown} at ${path}, which is not understood`,
    );
  }
}

const word = (path: string, text: string) => understood(path, text, parseWord);

/** An id or a name of AWS's. */
function parseWord(text: string): string {
  if (!/^[\w.-]{1,255}$/.test(text)) throw new SyntaxError("Cannot read an id");
  return text;
}

function parseIndex(text: string): number {
  if (!/^\d{1,3}$/.test(text)) throw new SyntaxError("Cannot read a device index");
  return Number(text);
}

function linesOf(text: string): string[] {
  return text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
}
