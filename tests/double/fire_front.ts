import type { Certificate } from "./certificates.ts";
import { pick } from "./random.ts";

/** A request as a front has it, and what it may do with it. */
export interface Asked {
  readonly request: Request;
  /** What tells requests for the same thing from others. */
  readonly key: string;
  /** Hands it on to the server, and answers as that does. */
  readonly pass: () => Promise<Response>;
  /** What the server answered to the same question before, if it has. */
  readonly past: string | undefined;
  readonly random: () => number;
  /** Resolves when the front is to be honest again. */
  readonly over: Promise<void>;
}

/** One way in which what stands before a registry goes wrong. */
export interface Misbehaviour {
  readonly name: string;
  readonly answer: (asked: Asked) => Promise<Response>;
}

/** How much of an answer is kept to be told again. */
const PAST_BYTES = 4 * 2 ** 20;
const GARBAGE_BYTES = 4096;
const BOMB_BYTES = 64 * 2 ** 20;
const DEEP = 100_000;

/** What servers say with an error, and what proxies say. */
const ERROR_BODIES: readonly ((status: number) => string)[] = [
  (code) => JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", code, message: "on fire" }),
  () => JSON.stringify({ error: "etcdserver: too many requests", code: 8, message: "on fire" }),
  (status) => `<html><body><h1>${status}</h1>nginx</body></html>`,
  () => "",
];

/** Whole answers that are not what was asked for, though they came with 200. */
const GARBAGE: readonly ((random: () => number) => BodyInit)[] = [
  () => "",
  () => "null",
  () => "{}",
  () => "[]",
  () => `{"kvs":"x","header":7,"items":7,"metadata":"x"}`,
  () => `{"items":[null,7,"x",{"metadata":{"name":9}}],"metadata":{"resourceVersion":"x"}}`,
  () => `{"header":{"revision":"x"},"kvs":[null,7,{"key":7,"value":[]},{"key":"%%%","value":"%%%"}]}`,
  () => "<!DOCTYPE html><html><body>Sign in to the Wi-Fi</body></html>",
  () => "[".repeat(DEEP),
  () => `{"a":`.repeat(DEEP),
  (random) => Uint8Array.from({ length: GARBAGE_BYTES }, () => Math.floor(random() * 256)),
];

/** What an answer that never ends begins with, and what is repeated in it. */
const ENDLESS: readonly (readonly [start: string, again: string])[] = [
  ["", " ".repeat(4096)],
  [`{"kvs":[`, `{"key":"YQ==","value":"YQ=="},`.repeat(100)],
  [`{"kvs":[{"key":"`, "YWFh".repeat(1000)],
  [`{"items":[`, `{"metadata":{"name":"a"}},`.repeat(100)],
  [`{"result":{"events":[`, `{"kv":{"key":"YQ=="}},`.repeat(100)],
];

const error = (status: number, headers: Record<string, string> = {}): Misbehaviour => ({
  name: `answers ${[status, ...Object.entries(headers).map((header) => header.join(": "))].join(", ")}`,
  answer: ({ random }) =>
    Promise.resolve(new Response(pick(random, ERROR_BODIES)(status), { status, headers })),
});

/** All ways in which a front goes wrong. */
export const MISBEHAVIOURS: readonly Misbehaviour[] = [
  ...[400, 401, 403, 404, 410, 500, 502, 503].map((status) => error(status)),
  error(429, { "retry-after": "1" }),
  error(503, { "retry-after": "never" }),
  error(302, { location: "/elsewhere" }),
  {
    name: "answers garbage",
    answer: ({ random }) => Promise.resolve(new Response(pick(random, GARBAGE)(random))),
  },
  { name: "does not answer", answer: silence },
  { name: "answers late, piece by piece", answer: answerLate },
  { name: "answers a byte at a time", answer: trickle },
  { name: "cuts answers short", answer: cutShort },
  { name: "never ends an answer", answer: neverEnd },
  { name: "answers a kilobyte that becomes megabytes", answer: bomb },
  {
    name: "answers what it did before",
    answer: async ({ pass, past }) => past === undefined ? await pass() : new Response(past),
  },
  {
    name: "fails each second request",
    answer: async ({ pass, random }) => random() < 0.5 ? new Response("", { status: 500 }) : await pass(),
  },
];

async function silence({ over }: Asked): Promise<Response> {
  await over;
  return new Response("", { status: 503 });
}

async function answerLate({ pass, random, over }: Asked): Promise<Response> {
  const pause = () => {
    let timer: number | undefined;
    const waited = new Promise<void>((resolve) => timer = setTimeout(resolve, random() * 1500));
    return Promise.race([waited, over]).finally(() => clearTimeout(timer));
  };
  await pause();
  return through(await pass(), async (chunk, out) => {
    await pause();
    out.enqueue(chunk);
  });
}

async function trickle({ pass, over }: Asked): Promise<Response> {
  let isOver = false;
  over.then(() => isOver = true);
  return through(await pass(), async (chunk, out) => {
    for (let at = 0; at < chunk.length; at++) {
      if (isOver) return out.enqueue(chunk.subarray(at));
      out.enqueue(chunk.subarray(at, at + 1));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });
}

async function cutShort({ pass, random }: Asked): Promise<Response> {
  let left = Math.floor(random() * 2000);
  return through(await pass(), (chunk, out) => {
    out.enqueue(chunk.subarray(0, left));
    left -= chunk.length;
    if (left <= 0) out.error(new Error("cut short"));
  });
}

function neverEnd({ random, over }: Asked): Promise<Response> {
  const [start, again] = pick(random, ENDLESS).map((text) => new TextEncoder().encode(text));
  let isOver = false;
  over.then(() => isOver = true);
  let isFirst = true;
  const body = new ReadableStream<Uint8Array>({
    pull: async (out) => {
      // Each piece in a turn of its own, so that the end can come.
      await new Promise((resolve) => setTimeout(resolve, 0));
      if (isOver) return out.close();
      out.enqueue((isFirst ? start! : again!).slice());
      isFirst = false;
    },
  });
  return Promise.resolve(new Response(body));
}

function bomb(): Promise<Response> {
  const piece = new Uint8Array(2 ** 20).fill(32);
  const zeros = ReadableStream.from((function* () {
    for (let at = 0; at < BOMB_BYTES; at += piece.length) yield piece.slice();
  })());
  const body = zeros.pipeThrough(new CompressionStream("gzip"));
  return Promise.resolve(new Response(body, { headers: { "content-encoding": "gzip" } }));
}

function through(
  response: Response,
  transform: (chunk: Uint8Array, out: TransformStreamDefaultController<Uint8Array>) => void | Promise<void>,
): Response {
  const body = response.body?.pipeThrough(new TransformStream<Uint8Array, Uint8Array>({ transform })) ?? null;
  return new Response(body, { status: response.status, headers: typeOf(response) });
}

function typeOf({ headers }: Response): Record<string, string> {
  const type = headers.get("content-type");
  return type === null ? {} : { "content-type": type };
}

/** Stands between hosts and a registry that speaks HTTP, as a balancer does, and misbehaves as it is told to. */
export class FireFront implements AsyncDisposable {
  readonly port: number;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #target: () => string;
  readonly #random: () => number;
  readonly #past = new Map<string, string>();
  readonly #passing = new Set<AbortController>();
  #now: Misbehaviour | undefined;
  #over = Promise.withResolvers<void>();

  /**
   * @param target Where the server is.
   * @param options.certificate What it speaks TLS with.
   */
  constructor(
    target: () => string,
    options: { readonly random: () => number; readonly certificate: Certificate },
  ) {
    this.#target = target;
    this.#random = options.random;
    const { certPem: cert, keyPem: key } = options.certificate;
    this.#server = Deno.serve(
      {
        hostname: "127.0.0.1",
        port: 0,
        cert,
        key,
        onListen: () => {},
        onError: () => new Response("", { status: 502 }),
      },
      (request) => this.#answer(request),
    );
    this.port = this.#server.addr.port;
  }

  /** Misbehaves from now on; what is being answered is cut if it is to be felt at once. */
  misbehave(misbehaviour: Misbehaviour, { cuts }: { readonly cuts: boolean }): void {
    this.#now = misbehaviour;
    if (cuts) this.cut();
  }

  /** Hands on what comes from now on. */
  beHonest(): void {
    this.#now = undefined;
    this.#over.resolve();
    this.#over = Promise.withResolvers();
  }

  /** Ends every answer that is on its way. */
  cut(): void {
    for (const controller of this.#passing) controller.abort();
    this.#passing.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.beHonest();
    this.cut();
    await this.#server.shutdown();
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const body = new Uint8Array(await request.arrayBuffer());
    const key = `${request.method} ${pathname}${search} ${new TextDecoder().decode(body)}`;
    const pass = () => this.#pass(request, `${pathname}${search}`, body, key);
    if (this.#now === undefined) return await pass();
    const past = this.#past.get(key);
    return await this.#now.answer({
      request,
      key,
      pass,
      past,
      random: this.#random,
      over: this.#over.promise,
    });
  }

  async #pass(
    request: Request,
    path: string,
    body: Uint8Array<ArrayBuffer>,
    key: string,
  ): Promise<Response> {
    const controller = new AbortController();
    this.#passing.add(controller);
    request.signal.addEventListener("abort", () => controller.abort());
    const headers = new Headers(request.headers);
    for (const name of ["host", "content-length", "accept-encoding"]) headers.delete(name);
    const response = await fetch(this.#target() + path, {
      method: request.method,
      headers,
      signal: controller.signal,
      ...body.length > 0 && { body },
    });
    if (/watch/.test(path)) return through(response, (chunk, out) => out.enqueue(chunk));
    const text = await response.text();
    this.#passing.delete(controller);
    // The first answer is the oldest that there is.
    const isKept = response.ok && text.length < PAST_BYTES && !this.#past.has(key) && /range|GET/.test(key);
    if (isKept) this.#past.set(key, text);
    return new Response(text, { status: response.status, headers: typeOf(response) });
  }
}
