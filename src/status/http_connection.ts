import { POLLIN, POLLOUT } from "../linux/poll_many.ts";
import type { StreamSocket } from "../linux/stream_socket.ts";
import { formatHead, readHead, type RequestLine } from "./http_head.ts";

/** What a connection asks for is answered by. */
export type Answer = (request: Request) => Response | Promise<Response>;

/** How long a client may take: to ask, to read the answer, to close behind it. */
export interface Patience {
  readonly headMs: number;
  readonly answerMs: number;
  readonly closeMs: number;
}

/** A body that nobody asked for is read up to this length: closed before, the client might lose the answer. */
const MAX_UNREAD_BYTES = 1 << 20;
const STRANGE_NAME =
  "this host answers to its addresses, to localhost and to its own name; see -healthz-name for others";
const NO_BYTES = new Uint8Array(0);

type State = "asks" | "waits" | "is told" | "closes" | "is over";
type Head = NonNullable<ReturnType<typeof readHead>>;

/** What a connection needs of its server. */
export interface ConnectionDeps {
  readonly patience: Patience;
  /** Whether a request may be for this host, by its `Host`; all are, if absent. */
  readonly isOwnName?: ((host: string, target: string) => boolean) | undefined;
  /** A clock that nobody sets. */
  readonly elapsedMs: () => number;
  /** Memory to read into, as long as the longest head, which nobody else uses amid a turn. */
  readonly scratch: Uint8Array<ArrayBuffer>;
}

/**
 * One connection: one request, one answer. It is kept for no second request, so that none is idle for long and each that is
 * counted is at work. Never throws: a client that goes away is no fault.
 */
export class HttpConnection {
  readonly #stream: StreamSocket;
  readonly #deps: ConnectionDeps;
  #state: State = "asks";
  #dueMs: number;
  #head: Head | undefined;
  /** What was read, or what is to be written. */
  #bytes: Uint8Array<ArrayBuffer> = NO_BYTES;
  /** How much of it that is. */
  #length = 0;

  constructor(stream: StreamSocket, deps: ConnectionDeps) {
    this.#stream = stream;
    this.#deps = deps;
    this.#dueMs = deps.elapsedMs() + deps.patience.headMs;
  }

  get fd(): number {
    return this.#stream.fd;
  }

  /** What is waited for: events of poll(2), none while the answer is to come. */
  get events(): number {
    if (this.#state === "is told") return POLLOUT;
    return this.#state === "waits" ? 0 : POLLIN;
  }

  /** When it is cut off. */
  get dueMs(): number {
    return this.#dueMs;
  }

  /** Whether what it asks for is not known yet. */
  get isIdle(): boolean {
    return this.#state === "asks";
  }

  /** Whether it is to be answered. */
  get isWaiting(): boolean {
    return this.#state === "waits";
  }

  get isOver(): boolean {
    return this.#state === "is over";
  }

  /** Bytes of the answer that the client has not taken. */
  get heldBytes(): number {
    return this.#state === "is told" ? this.#bytes.length - this.#length : 0;
  }

  /** Does all that can be done without waiting. */
  turn(): void {
    try {
      if (this.#state === "asks") this.#read();
      if (this.#state === "is told") this.#write();
      if (this.#state === "closes") this.#drain();
    } catch {
      // The client has gone.
      this.cutOff();
    }
  }

  /** What it asks for, while it is to be answered: who asks the same may have the same answer. */
  get question(): string {
    const head = this.#head;
    if (head === undefined || "refused" in head) return `refused ${head?.refused}`;
    return `${head.method} ${head.target} ${head.accept ?? ""}`;
  }

  /** Has what it asks for answered; it is told in its next turn. */
  async answer(answer: Answer): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await responseBytes(this.#head!, answer);
    this.tell(bytes);
    return bytes;
  }

  /** Gives it its whole answer; it is told in its next turn. */
  tell(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.isWaiting) return;
    this.#enter("is told", this.#deps.patience.answerMs);
    this.#bytes = bytes;
  }

  /** Ends it, whatever is under way. */
  cutOff(): void {
    if (this.isOver) return;
    this.#enter("is over", 0);
    this.#stream.reset();
  }

  /** Ends it if the kernel has all of the answer, and hands that over by itself. */
  letGo(): void {
    if (this.#state === "closes") this.#close();
  }

  #enter(state: State, patienceMs: number): void {
    this.#state = state;
    this.#bytes = NO_BYTES;
    this.#length = 0;
    this.#dueMs = this.#deps.elapsedMs() + patienceMs;
  }

  #close(): void {
    this.#enter("is over", 0);
    this.#stream[Symbol.dispose]();
  }

  #read(): void {
    const { scratch, patience } = this.#deps;
    scratch.set(this.#bytes);
    for (;;) {
      const read = this.#stream.read(scratch.subarray(this.#length));
      if (read === undefined) break;
      if (read === 0) return this.#close();
      this.#length += read;
      this.#head = readHead(scratch.subarray(0, this.#length), this.#deps.isOwnName);
      if (this.#head !== undefined) return this.#enter("waits", patience.answerMs);
    }
    // The rest is to come.
    if (this.#length > this.#bytes.length) this.#bytes = scratch.slice(0, this.#length);
  }

  #write(): void {
    while (this.#length < this.#bytes.length) {
      const written = this.#stream.write(this.#bytes.subarray(this.#length));
      if (written === undefined) return;
      this.#length += written;
    }
    this.#stream.endWriting();
    this.#enter("closes", this.#deps.patience.closeMs);
  }

  /** Waits for the client to have read it all. */
  #drain(): void {
    for (;;) {
      const read = this.#stream.read(this.#deps.scratch);
      if (read === undefined) return;
      this.#length += read;
      if (read === 0 || this.#length > MAX_UNREAD_BYTES) return this.#close();
    }
  }
}

async function responseBytes(
  head: Head,
  answer: Answer,
): Promise<Uint8Array<ArrayBuffer>> {
  const response = "refused" in head
    ? new Response(head.refused === 421 ? STRANGE_NAME : null, { status: head.refused })
    : await asked(head, answer);
  // A body that fails while it is read is no answer.
  const body = await response.bytes().catch(() => undefined);
  if (body === undefined) return new TextEncoder().encode(formatHead(500, new Headers(), 0));
  const start = new TextEncoder().encode(formatHead(response.status, response.headers, body.length));
  if ("method" in head && head.method === "HEAD") return start;
  const bytes = new Uint8Array(start.length + body.length);
  bytes.set(start);
  bytes.set(body, start.length);
  return bytes;
}

async function asked({ method, target, accept }: RequestLine, answer: Answer): Promise<Response> {
  let request: Request;
  try {
    // The name that it was asked by is of no use.
    const url = new URL(target.startsWith("/") ? `http://status${target}` : target);
    // The head is that of the whole answer; the body is left out behind it.
    const headers = accept === undefined ? {} : { accept };
    request = new Request(url, { method: method === "HEAD" ? "GET" : method, headers });
  } catch {
    return new Response(null, { status: 400 });
  }
  try {
    return await answer(request);
  } catch {
    return new Response(null, { status: 500 });
  }
}
