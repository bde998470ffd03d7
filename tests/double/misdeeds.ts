import { type Json, type Refusal, statusObject } from "./api_objects.ts";

/** What is asked of an API server. */
export type RequestKind = "get" | "list" | "watch" | "patch" | "create" | "delete";

/** What a server does with an answer. */
export interface Misdeed {
  /** Which requests it hits; all unless told. */
  readonly kind?: RequestKind;
  /** Of which object; of any unless told. */
  readonly name?: string;
  /** How many requests it hits, one unless told. */
  times?: number;
  /** Answers so, and nothing else. */
  readonly refuse?: Refusal;
  /** The header of that name, with a refusal. */
  readonly retryAfter?: string;
  /** Answers after so long. */
  readonly delayMs?: number;
  /** Never answers; or falls silent after so many bytes. */
  readonly silentAfterBytes?: number;
  /** Breaks the connection off after so many bytes. */
  readonly cutAfterBytes?: number;
  /** Says this after so many bytes of the right answer, and ends. */
  readonly garbage?: { readonly text: string; readonly afterBytes: number };
  readonly bytesPerSecond?: number;
  /** Before all that is true, a watch tells this: errors of any code, events that are old or come twice. */
  readonly events?: readonly Json[];
  /** Answers this in place of what is true. */
  readonly answer?: Json;
  /** Answers this for ever: the text, again and again. */
  readonly endless?: string;
}

/** An ERROR event, as a watch ends with one. */
export function errorEvent(refusal: Refusal): Json {
  return { type: "ERROR", object: statusObject(refusal) };
}

/** What a server is told to do wrong, and how it does it. */
export class Misdeeds {
  readonly #waiting: Misdeed[] = [];
  /** Which have been done, as often as that was. */
  readonly done: Misdeed[] = [];
  #ended = new AbortController();

  add(misdeed: Misdeed): void {
    this.#waiting.push(misdeed);
  }

  /** Does nothing wrong from now on; what is silent stays so. */
  clear(): void {
    this.#waiting.length = 0;
  }

  /** Ends what is silent: the server stops. */
  end(): void {
    this.#ended.abort();
    this.#ended = new AbortController();
  }

  /** The next one for a request, if it is to be hit. */
  take(kind: RequestKind, name: string): Misdeed | undefined {
    const at = this.#waiting.findIndex((misdeed) =>
      (misdeed.kind ?? kind) === kind && (misdeed.name ?? name) === name
    );
    const misdeed = this.#waiting[at];
    if (misdeed === undefined) return undefined;
    misdeed.times = (misdeed.times ?? 1) - 1;
    if (misdeed.times <= 0) this.#waiting.splice(at, 1);
    this.done.push(misdeed);
    return misdeed;
  }

  /** Gives the answer as it was told to. */
  async commit(misdeed: Misdeed, answer: () => Promise<Response>): Promise<Response> {
    const { refuse, delayMs, endless } = misdeed;
    const { signal } = this.#ended;
    if (delayMs !== undefined) await wait(delayMs, signal);
    if (misdeed.silentAfterBytes === 0) {
      await wait(Infinity, signal);
      return new Response("the server ends", { status: 503 });
    }
    const headers = { "content-type": "application/json" };
    if (refuse !== undefined) {
      return Response.json(statusObject(refuse), {
        status: refuse.status,
        headers: misdeed.retryAfter === undefined ? {} : { "retry-after": misdeed.retryAfter },
      });
    }
    if (misdeed.answer !== undefined) return Response.json(misdeed.answer);
    if (endless !== undefined) return new Response(endlessly(endless, signal), { headers });
    const { body, status } = await answer();
    return new Response(ReadableStream.from(spoilt(body!, misdeed, signal)), { status, headers });
  }
}

async function* spoilt(
  body: ReadableStream<Uint8Array>,
  misdeed: Misdeed,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  const { events = [], silentAfterBytes, cutAfterBytes, garbage, bytesPerSecond } = misdeed;
  // In one chunk: what is in it is read before anything else can happen.
  const before = events.map((event) => `${JSON.stringify(event)}\n`).join("");
  const endsAt = silentAfterBytes ?? cutAfterBytes ?? garbage?.afterBytes ?? Infinity;
  let sent = 0;
  for await (const chunk of withFirst(encoder.encode(before), body)) {
    const bytes = chunk.subarray(0, Math.max(endsAt - sent, 0));
    const step = bytesPerSecond === undefined ? bytes.length : 1;
    for (let at = 0; at < bytes.length; at += step) {
      yield bytes.subarray(at, at + step);
      if (bytesPerSecond !== undefined) await wait(1000 / bytesPerSecond, signal);
    }
    sent += bytes.length;
    if (sent < endsAt) continue;
    if (silentAfterBytes !== undefined) await wait(Infinity, signal);
    else if (cutAfterBytes !== undefined) {
      // What was said until then is on its way.
      await wait(50, signal);
      throw new Error("the connection is broken off");
    } else yield encoder.encode(garbage!.text);
    return;
  }
}

function endlessly(text: string, signal: AbortSignal): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text.repeat(Math.ceil(65_536 / text.length)));
  return new ReadableStream({
    pull: (controller) => signal.aborted ? controller.close() : controller.enqueue(bytes),
  });
}

/** Waits for so long, or until the server stops. */
async function wait(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const timer = ms === Infinity ? undefined : setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}

async function* withFirst(
  first: Uint8Array,
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  if (first.length > 0) yield first;
  yield* rest;
}
