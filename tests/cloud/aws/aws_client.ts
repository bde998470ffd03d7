import type { FakeAws } from "../../double/aws/fake_aws.ts";
import type { Credentials } from "../../double/aws/identities.ts";

/** Of Debian: `awscli` brings AWS's library with it. */
const PYTHON = "/usr/bin/python3";
const AWS = "/usr/bin/aws";
const SCRIPT = new URL("botocore_client.py", import.meta.url).pathname;

/** What AWS's client made of an answer. */
export interface Told {
  // deno-lint-ignore no-explicit-any
  readonly result?: any;
  // deno-lint-ignore no-explicit-any
  readonly pages?: readonly any[];
  readonly error?: { readonly code: string; readonly message: string; readonly status: number };
}

/** What is asked for. */
export interface Ask {
  readonly service?: "ec2" | "sts";
  /** `describe_route_tables`. */
  readonly operation: string;
  readonly params?: Readonly<Record<string, unknown>>;
  /** All pages, of this size. */
  readonly page?: number;
  readonly as?: Credentials;
  /** Instead of credentials: where they are to be found. */
  readonly env?: Readonly<Record<string, string>>;
  readonly unsigned?: true;
  /** Seconds. */
  readonly timeout?: number;
}

/** AWS's own client library, in a process that lasts: a program of its own for each call takes a second. */
export class AwsClient implements AsyncDisposable {
  readonly #aws: FakeAws;
  readonly #child: Deno.ChildProcess;
  readonly #in: WritableStreamDefaultWriter<Uint8Array>;
  readonly #out: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(aws: FakeAws) {
    this.#aws = aws;
    this.#child = new Deno.Command(PYTHON, {
      args: [SCRIPT],
      clearEnv: true,
      env: { ...LONELY, AWS_DEFAULT_REGION: aws.cloud.region },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#in = this.#child.stdin.getWriter();
    this.#out = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Calls one operation. */
  async ask({ service = "ec2", params = {}, as, env = {}, ...more }: Ask): Promise<Told> {
    const url = this.#aws[service].url;
    const all = { ...more, service, params, url, env: { ...env, ...as && keysOf(as) } };
    await this.#in.write(new TextEncoder().encode(`${JSON.stringify(all)}\n`));
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#out.read();
      if (done) throw new Error("Cannot ask AWS's client: it has ended");
      this.#rest += value;
    }
    const at = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, at);
    this.#rest = this.#rest.slice(at + 1);
    return JSON.parse(line);
  }

  /** Calls one operation that must succeed. */
  // deno-lint-ignore no-explicit-any
  async get(ask: Ask): Promise<any> {
    const { result, error } = await this.ask(ask);
    if (error !== undefined) throw new Error(`Cannot ${ask.operation}: ${error.code}: ${error.message}`);
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#in.close();
    await this.#out.cancel();
    await this.#child.status;
  }
}

/** Nothing of the machine's own AWS, and no metadata service but one that is named. */
const LONELY = {
  PATH: "/usr/bin:/bin",
  AWS_CONFIG_FILE: "/nonexistent",
  AWS_SHARED_CREDENTIALS_FILE: "/nonexistent",
  AWS_PAGER: "",
  NO_PROXY: "*",
} as const;

/** Runs the program `aws`, as a user does; gives what it printed, or its complaint. */
export async function runAws(
  aws: FakeAws,
  args: readonly string[],
  { as, env = {} }: Pick<Ask, "as" | "env">,
  // deno-lint-ignore no-explicit-any
): Promise<any> {
  const service = args[0] as "ec2" | "sts";
  const { code, stdout, stderr } = await new Deno.Command(AWS, {
    args: [...args, "--endpoint-url", aws[service].url, "--output", "json"],
    clearEnv: true,
    env: { ...LONELY, AWS_DEFAULT_REGION: aws.cloud.region, ...env, ...as && keysOf(as) },
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(code === 0 ? stdout : stderr).trim();
  return code === 0 && text !== "" ? JSON.parse(text) : text;
}

function keysOf({ accessKeyId, secretAccessKey, sessionToken }: Credentials): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    ...sessionToken !== undefined && { AWS_SESSION_TOKEN: sessionToken },
  };
}
