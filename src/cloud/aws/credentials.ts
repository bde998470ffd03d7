import { defaultProvider } from "@aws-sdk/credential-provider-node";
import { errorText } from "../../log/error_text.ts";
import { within } from "../../loop/pause.ts";
import { VERSION } from "../../model/version.ts";
import type { Credentials } from "./ec2_client.ts";

const ATTEMPTS = 2;
/** What the whole chain takes at most. AWS's own limits only print a warning to the console when they are over. */
const CHAIN_MS = 10_000;
const NO_LIMIT = 0;
const MAX_MESSAGE = 400;
/** A service account's token, the id of a key, a session's token: who is asked may repeat them in a refusal. */
const SECRET = /\beyJ[\w-]{10,}(?:\.[\w-]*)*|\bA[KS]IA[A-Z0-9]{12,}|[\w+/=%-]{100,}/g;
/** Where root's files are. */
const HOME = "/root";
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

type Provider = ReturnType<typeof defaultProvider>;

/**
 * The credentials of this host, by AWS's own chain: environment, shared files, web identity (IRSA), container (ECS, EKS
 * Pod Identity), instance. They are asked for anew before they expire; a token's file is read each time.
 *
 * @param open Makes the chain; AWS's own if absent.
 */
export function credentialChain(
  region: string,
  open: (region: string) => Provider = openChain,
): (options: { readonly isFresh: boolean }) => Promise<Credentials> {
  let provider = open(region);
  return async ({ isFresh }) => {
    const asked = provider;
    let found: Credentials | undefined;
    try {
      found = await within(asked(isFresh ? { forceRefresh: true } : {}), CHAIN_MS);
    } catch (error) {
      throw new Error(`no credentials from ${sourceOf(Deno.env.toObject())}: ${lineOf(error)}`, {
        cause: error,
      });
    }
    if (found !== undefined) return found;
    // All who came later would wait with the one who waits for ever.
    if (provider === asked) provider = open(region);
    throw new Error(
      `no credentials from ${sourceOf(Deno.env.toObject())}: nothing within ${CHAIN_MS / 1000} s`,
    );
  };
}

/** AWS's code says it in several lines here and there; what it could not parse is in the message of a `SyntaxError`. */
function lineOf(error: unknown): string {
  if (error instanceof SyntaxError) return "what it gives is not understood";
  const line = errorText(error).replaceAll(/[\s\p{C}]+/gu, " ").replaceAll(SECRET, "…").trim();
  return line.length > MAX_MESSAGE ? `${line.slice(0, MAX_MESSAGE)}…` : line;
}

/** What the chain ends with in this environment, and what to do about it: its own words name none. */
function sourceOf(environment: Readonly<Record<string, string | undefined>>): string {
  const isThere = (name: string) => (environment[name] ?? "") !== "";
  if (isThere("AWS_PROFILE")) return `the profile ${environment["AWS_PROFILE"]}`;
  if (isThere("AWS_ACCESS_KEY_ID")) return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
  if (isThere("AWS_WEB_IDENTITY_TOKEN_FILE")) {
    return "the web identity that AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE name";
  }
  const container = ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"].find(
    isThere,
  );
  if (container !== undefined) return `the container's endpoint that ${container} names`;
  return "the role of the instance (give it one, and its metadata service a hop limit of 2 if the agent is not in the " +
    "host's network; leave out AWS_EC2_METADATA_DISABLED)";
}

function openChain(region: string): Provider {
  // Where it is not said, AWS's code asks the system for it, which the agent may not.
  if (!Deno.env.get("HOME")) Deno.env.set("HOME", HOME);
  const clientConfig = {
    region,
    logger: SILENT,
    maxAttempts: ATTEMPTS,
    // What it would say by itself it would ask the system for, which the agent may not.
    defaultUserAgentProvider: (): Promise<[string, string][]> => Promise.resolve([["loden", VERSION]]),
  };
  return defaultProvider({
    timeout: NO_LIMIT,
    maxRetries: ATTEMPTS - 1,
    logger: SILENT,
    // Keys in shared files may be others when they are asked for anew.
    ignoreCache: true,
    clientConfig,
    // Those that the chain makes by itself have no such configuration where a file names the role.
    async roleAssumer(source, parameters) {
      const { getDefaultRoleAssumer } = await import("@aws-sdk/nested-clients/sts");
      return await getDefaultRoleAssumer(clientConfig)(source, parameters);
    },
    async roleAssumerWithWebIdentity(parameters) {
      const { getDefaultRoleAssumerWithWebIdentity } = await import("@aws-sdk/nested-clients/sts");
      return await getDefaultRoleAssumerWithWebIdentity(clientConfig)(parameters);
    },
  });
}
