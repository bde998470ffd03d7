import { Cloud } from "./cloud.ts";
import { containerCredentials } from "./container_credentials.ts";
import { Control } from "./control.ts";
import { EC2_PROBLEMS, type Ec2Deps, ec2Handler } from "./fake_ec2.ts";
import { FakeImds, type ImdsSettings } from "./fake_imds.ts";
import { stsHandler } from "./fake_sts.ts";
import { type Credentials, Identities } from "./identities.ts";

/** What the double is, where it is not the usual. */
export interface FakeAwsOptions {
  readonly region?: string;
  readonly account?: string;
  readonly hostname?: string;
  /** How far a signature's time may be off. */
  readonly maxSkewMs?: number;
  /** Other codes for callers that EC2 does not know: what it says has changed over the years. */
  readonly problems?: Partial<typeof EC2_PROBLEMS>;
}

/** What listens. */
export interface Endpoint extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
}

const MAX_SKEW_MS = 5 * 60_000;
const CREDENTIAL_SECONDS = 6 * 3600;

/**
 * A whole AWS as far as this program speaks to one: a cloud, who may do what in it, and the services in front. They listen
 * on the loopback; hosts in network namespaces reach them through a `Relay`, the metadata service at its own address.
 */
export class FakeAws implements AsyncDisposable {
  readonly cloud: Cloud;
  readonly identities: Identities;
  readonly control = new Control();
  readonly ec2: Endpoint;
  /** Asks EC2 without a socket: for a test that has its own time. */
  readonly askEc2: (request: Request) => Promise<Response>;
  readonly sts: Endpoint;
  readonly #closing = new AbortController();
  readonly #hostname: string;
  readonly #endpoints: Endpoint[] = [];

  private constructor(options: FakeAwsOptions) {
    this.#hostname = options.hostname ?? "127.0.0.1";
    this.cloud = new Cloud(options.region, options.account);
    this.identities = new Identities(this.cloud.account, this.control.now);
    const deps: Ec2Deps = {
      cloud: this.cloud,
      control: this.control,
      identities: this.identities,
      now: this.control.now,
      region: this.cloud.region,
      maxSkewMs: options.maxSkewMs ?? MAX_SKEW_MS,
      problems: options.problems ?? {},
      closing: this.#closing.signal,
    };
    this.askEc2 = (request) => ec2Handler(request, deps);
    this.ec2 = this.#listen(this.askEc2);
    this.sts = this.#listen((request) => stsHandler(request, deps));
  }

  static open(options: FakeAwsOptions = {}): FakeAws {
    return new FakeAws(options);
  }

  /** Opens the metadata service of one instance. */
  openImds(instanceId: string): Endpoint & { readonly settings: ImdsSettings; readonly imds: FakeImds } {
    const settings: ImdsSettings = {
      isVersion1Allowed: false,
      isTooFar: false,
      isDisabled: false,
      credentialSeconds: CREDENTIAL_SECONDS,
    };
    const { cloud, control, identities } = this;
    const closing = this.#closing.signal;
    const imds = new FakeImds({ cloud, control, identities, instanceId, settings, closing });
    return { ...this.#listen((request) => imds.handle(request)), settings, imds };
  }

  /** Opens the credentials endpoint of a container with a role; who asks must show what `token` says. */
  openContainerCredentials(role: string, token: () => string, lifeSeconds = CREDENTIAL_SECONDS): Endpoint {
    const { control, identities } = this;
    const deps = { control, identities, role, token, lifeSeconds, closing: this.#closing.signal };
    return this.#listen((request) => containerCredentials(request, deps));
  }

  /** The variables that have a client come here, with these credentials if there are such. */
  env(credentials?: Credentials): Record<string, string> {
    return {
      AWS_REGION: this.cloud.region,
      AWS_DEFAULT_REGION: this.cloud.region,
      AWS_ENDPOINT_URL_EC2: this.ec2.url,
      AWS_ENDPOINT_URL_STS: this.sts.url,
      ...credentials && {
        AWS_ACCESS_KEY_ID: credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
        ...credentials.sessionToken && { AWS_SESSION_TOKEN: credentials.sessionToken },
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#endpoints.map((endpoint) => endpoint[Symbol.asyncDispose]()));
  }

  #listen(handler: (request: Request) => Promise<Response>): Endpoint {
    const closing = new AbortController();
    const options = {
      hostname: this.#hostname,
      port: 0,
      onListen: () => {},
      onError,
      signal: closing.signal,
    };
    const server = Deno.serve(options, handler);
    const { port } = server.addr as Deno.NetAddr;
    let closed: Promise<void> | undefined;
    const endpoint: Endpoint = {
      url: `http://${this.#hostname}:${port}`,
      port,
      // Not gently: a client that asks on and on would keep it open.
      [Symbol.asyncDispose]() {
        closing.abort();
        return closed ??= server.finished;
      },
    };
    this.#endpoints.push(endpoint);
    return endpoint;
  }
}

/** A fault of the double itself looks like none of AWS's. */
function onError(error: unknown): Response {
  return new Response(`the double failed: ${error instanceof Error ? error.stack : error}`, { status: 599 });
}
