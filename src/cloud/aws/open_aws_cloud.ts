import type { AwsVpcConfig } from "../../config/aws_schema.ts";
import { fileReason } from "../../file/file_reason.ts";
import { readText } from "../../file/read_text.ts";
import type { Log } from "../../log/log.ts";
import type { Address } from "../../model/address.ts";
import type { Cloud } from "../cloud.ts";
import { AwsCloud } from "./aws_cloud.ts";
import { credentialChain } from "./credentials.ts";
import { Ec2Client } from "./ec2_client.ts";
import { ec2Endpoint } from "./endpoint.ts";
import { metadataReader, readInstance } from "./metadata.ts";

/** A larger file is no list of authorities. */
const MAX_BUNDLE_BYTES = 2 ** 20;

/** What a cloud is opened with. */
export interface AwsContext {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Addresses of the underlay. */
  readonly underlay: () => readonly Address[];
  /** A clock that nobody sets. */
  readonly elapsedMs: () => number;
  readonly log: Log;
}

type Environment = AwsContext["environment"];

/** The region that the environment names. */
export function regionOf(environment: Environment): string | undefined {
  return environment["AWS_REGION"] || environment["AWS_DEFAULT_REGION"] || undefined;
}

/** The VPC that this instance is in, asked as AWS's environment variables and files say. Asks nothing yet. */
export function openAwsCloud(config: AwsVpcConfig, context: AwsContext): Cloud {
  const { environment } = context;
  const calls = new Map<string, number>();
  const read = metadataReader(environment);
  return new AwsCloud({
    ...context,
    config,
    calls,
    instance: () => readInstance(read, regionOf(environment)),
    client: (region) => openEc2(region, environment, calls),
    now: () => new Date(),
  });
}

/** A client of EC2 in a region. @param calls Counts the calls, by action. */
export function openEc2(region: string, environment: Environment, calls?: Map<string, number>): Ec2Client {
  return new Ec2Client({
    region,
    endpoint: ec2Endpoint(region, environment),
    credentials: credentialChain(region),
    fetch: httpDoor(environment["AWS_CA_BUNDLE"]),
    count: (action) => void calls?.set(action, (calls.get(action) ?? 0) + 1),
    random: Math.random,
    maxAttempts: attemptsOf(environment["AWS_MAX_ATTEMPTS"]),
  });
}

/** `fetch` that trusts the authorities of a file, if one is named; it is read again for each connection pool. */
function httpDoor(bundle: string | undefined): ConstructorParameters<typeof Ec2Client>[0]["fetch"] {
  if (bundle === undefined || bundle === "") return fetch;
  let client: Deno.HttpClient | undefined;
  return async (url, init) => {
    client ??= openClient(bundle);
    return await fetch(url, { ...init, client });
  };
}

/** @throws {Error} If the file can't be read, or has what is no certificate. */
function openClient(bundle: string): Deno.HttpClient {
  let text: string;
  try {
    text = readText(bundle, MAX_BUNDLE_BYTES);
  } catch (error) {
    throw new Error(`AWS_CA_BUNDLE, ${bundle}, can't be read: ${fileReason(error)}`, { cause: error });
  }
  try {
    return Deno.createHttpClient({ caCerts: [text] });
  } catch (error) {
    throw new Error(`AWS_CA_BUNDLE, ${bundle}, has a certificate that is damaged`, { cause: error });
  }
}

function attemptsOf(text: string | undefined): number | undefined {
  const attempts = Number(text ?? "");
  return Number.isInteger(attempts) && attempts > 0 && attempts <= 20 ? attempts : undefined;
}
