/** What a front answers in the server's place; `undefined` lets the request through. */
export type Rudeness = (request: Request) => Response | undefined | Promise<Response | undefined>;

/** What stands before a server, as a balancer or a proxy does, and answers in its place when it is told to. */
export class RudeFront implements AsyncDisposable {
  readonly url: string;
  /** When each request came, in milliseconds of `performance.now()`, and what was asked. */
  readonly requests: { readonly atMs: number; readonly what: string }[] = [];
  /** Is asked about each request first. */
  rude: Rudeness = () => undefined;
  readonly #server: Deno.HttpServer;

  get port(): number {
    return Number(new URL(this.url).port);
  }

  constructor(url: string) {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
      const { pathname, search } = new URL(request.url);
      this.requests.push({ atMs: performance.now(), what: `${request.method} ${pathname}${search}` });
      const answer = await this.rude(request);
      if (answer !== undefined) return answer;
      const { method, headers, signal } = request;
      const body = method === "GET" ? undefined : await request.text();
      try {
        return await fetch(url + pathname + search, {
          method,
          headers,
          signal,
          ...body !== undefined && { body },
        });
      } catch {
        return new Response("no server behind", { status: 502 });
      }
    });
    this.url = `http://127.0.0.1:${(this.#server.addr as Deno.NetAddr).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}
