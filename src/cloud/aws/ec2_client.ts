import { Sha256 } from "@smithy/core/checksum";
import { parseXML } from "@aws-sdk/xml-builder";
import { SignatureV4 } from "@smithy/signature-v4";
import { connectionReason } from "../../log/connection_reason.ts";
import { errorText } from "../../log/error_text.ts";
import { Secrets } from "../../log/secrets.ts";
import { BackOff } from "../../loop/back_off.ts";
import { LinkedAbort } from "../../loop/linked_abort.ts";
import { aborted } from "../../loop/pause.ts";
import { retryAfterMs } from "../../loop/retry_after.ts";
import { Ec2Error, ec2ErrorOf } from "./ec2_error.ts";
import { readCapped } from "./read_capped.ts";
import { ec2Form, type FormValue } from "./ec2_form.ts";

/** An answer that has not come by then does not come. */
const ANSWER_MS = 20_000;
/** A table of a thousand routes takes some 300 KiB. */
const MAX_ANSWER_BYTES = 4 * 2 ** 20;
/** How often a throttled call is made: five hundred hosts that start together take EC2 a minute and a half. */
const MAX_ATTEMPTS = 20;
const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 20_000;
/** No longer is EC2 left alone, whatever it asks for: a host without its route is cut off. */
const LONGEST_REST_MS = 300_000;
/** What a signature's time may be off by, as AWS documents it. */
const MAX_SKEW_MS = 5 * 60_000;

/** A key pair of IAM's, for a while. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** What a call is made with. */
export interface Ec2Parameters {
  readonly [name: string]: FormValue;
}

/** What the client needs of the world. */
export interface Ec2ClientDeps {
  readonly region: string;
  /** `https://ec2.eu-west-1.amazonaws.com`. */
  readonly endpoint: string;
  /** The credentials of now; `isFresh` asks for others than those that were refused. */
  readonly credentials: (options: { readonly isFresh: boolean }) => Promise<Credentials>;
  readonly fetch: (url: string, init: RequestInit & { readonly signal: AbortSignal }) => Promise<Response>;
  /** Is told of each call that is made. */
  readonly count?: (action: string) => void;
  /** From 0 to less than 1. */
  readonly random: () => number;
  /** The first pause while EC2 throttles, doubled each time; half a second if absent. */
  readonly pauseMs?: number;
  /** How often a throttled call is made; twenty times if absent. */
  readonly maxAttempts?: number | undefined;
}

/** Speaks to EC2: signs each call, waits while EC2 is throttling, and reads the answer. */
export class Ec2Client {
  readonly #deps: Ec2ClientDeps;
  /** AWS repeats here and there what was signed, the session's token included. */
  readonly #secrets = new Secrets();

  constructor(deps: Ec2ClientDeps) {
    this.#deps = deps;
  }

  /**
   * Makes one call, and more while EC2 throttles, each after a random share of a pause that doubles.
   *
   * @returns The members of the answer's root.
   * @throws {Ec2Error} If EC2 refuses, or does not answer.
   */
  async call(
    action: string,
    parameters: Ec2Parameters,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<unknown> {
    const body = ec2Form(action, parameters);
    const { random, pauseMs = FIRST_PAUSE_MS, maxAttempts = MAX_ATTEMPTS } = this.#deps;
    const backOff = new BackOff({ firstMs: pauseMs, lastMs: LAST_PAUSE_MS, random, leastShare: 0 });
    let isFresh = false;
    let wasRefreshed = false;
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#ask(action, body, { isFresh, signal });
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof Ec2Error)) throw error;
        isFresh = error.isExpired && !wasRefreshed;
        if (isFresh) wasRefreshed = true;
        else if (!error.isThrottle || attempt >= maxAttempts) throw error;
        else await backOff.pause({ signal, leastMs: error.retryAfterMs });
        signal.throwIfAborted();
      }
    }
  }

  /** Another client, which asks with the same keys, and makes no call that changes something. */
  dry(noted: (action: string, parameters: Ec2Parameters) => void): Ec2Client {
    return new DryEc2Client(this.#deps, noted);
  }

  async #ask(
    action: string,
    body: string,
    { isFresh, signal }: { readonly isFresh: boolean; readonly signal: AbortSignal },
  ): Promise<unknown> {
    const { endpoint } = this.#deps;
    using limit = new LinkedAbort(signal);
    try {
      const keys = await this.#credentials({ isFresh, signal: limit.signal });
      for (const secret of [keys.accessKeyId, keys.secretAccessKey, keys.sessionToken]) {
        this.#secrets.keep(secret);
      }
      const headers = await this.#sign(body, keys);
      limit.limit(ANSWER_MS);
      this.#deps.count?.(action);
      const response = await this.#deps.fetch(endpoint, {
        method: "POST",
        headers,
        body,
        redirect: "error",
        signal: limit.signal,
      });
      const text = await readCapped(response, MAX_ANSWER_BYTES);
      if (response.status !== 200) {
        const { status, headers } = response;
        const askedMs = retryAfterMs(headers, { longestMs: LONGEST_REST_MS });
        const body = this.#secrets.hide(text);
        throw ec2ErrorOf(action, { status, body, retryAfterMs: askedMs, skewMs: skewOf(headers) });
      }
      return parseXML(text);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Ec2Error || error instanceof CredentialsError) throw error;
      const why = limit.signal.aborted
        ? `nothing within ${ANSWER_MS / 1000} s`
        : this.#secrets.hide(connectionReason(error));
      const { host } = new URL(endpoint);
      throw new Ec2Error(action, { code: "NoAnswer", message: `${host} does not answer: ${why}` });
    }
  }

  /** The credentials, or the end of the wait for them. */
  async #credentials(
    { isFresh, signal }: { readonly isFresh: boolean; readonly signal: AbortSignal },
  ): Promise<Credentials> {
    const ended = aborted(signal).then(() => signal.throwIfAborted());
    try {
      return await Promise.race([this.#deps.credentials({ isFresh }), ended]) as Credentials;
    } catch (error) {
      signal.throwIfAborted();
      throw new CredentialsError(errorText(error), { cause: error });
    }
  }

  async #sign(body: string, keys: Credentials): Promise<Record<string, string>> {
    const { region, endpoint } = this.#deps;
    const signer = new SignatureV4({ service: "ec2", region, credentials: keys, sha256: Sha256 });
    const { protocol, hostname, port, host, pathname } = new URL(endpoint);
    const { headers } = await signer.sign({
      method: "POST",
      protocol,
      hostname,
      ...port !== "" && { port: Number(port) },
      path: pathname,
      headers: { host, "content-type": "application/x-www-form-urlencoded; charset=utf-8" },
      body,
    });
    // It comes from the address, and may not be set.
    delete headers["host"];
    return headers;
  }
}

/** This host has no credentials that could be used. */
export class CredentialsError extends Error {
  override readonly name = "CredentialsError";
}

/** How far this host's clock is behind that of the answer; `undefined` where a signature bears it. */
function skewOf(headers: Headers): number | undefined {
  const skewMs = Date.parse(headers.get("date") ?? "") - Date.now();
  return Math.abs(skewMs) > MAX_SKEW_MS ? skewMs : undefined;
}

/** What calls that change something answer with, as far as it is read, though they were not made. */
const NOT_MADE: Readonly<Record<string, unknown>> = {
  CreateNetworkInterface: {
    CreateNetworkInterfaceResponse: { networkInterface: { networkInterfaceId: "eni-to-be-made" } },
  },
  AttachNetworkInterface: { AttachNetworkInterfaceResponse: {} },
};

/** Asks, and writes down what it is told to change. */
class DryEc2Client extends Ec2Client {
  readonly #noted: (action: string, parameters: Ec2Parameters) => void;

  constructor(deps: Ec2ClientDeps, noted: (action: string, parameters: Ec2Parameters) => void) {
    super(deps);
    this.#noted = noted;
  }

  override async call(
    action: string,
    parameters: Ec2Parameters,
    options: { readonly signal: AbortSignal },
  ): Promise<unknown> {
    if (action.startsWith("Describe")) return await super.call(action, parameters, options);
    this.#noted(action, parameters);
    return NOT_MADE[action] ?? {};
  }
}
