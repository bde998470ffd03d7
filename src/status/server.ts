import type { StatusDeps } from "./app.ts";

/** Requests under way at the end get this long. */
const SHUTDOWN_MS = 3000;

/** Where the endpoints are served; closing it ends the server. */
export interface StatusServer extends AsyncDisposable {
  /** The port in use, where 0 was asked for. */
  readonly port: number;
}

/**
 * Serves `/healthz`, `/readyz` and `/status` until the server is disposed or `signal` aborts.
 *
 * @throws {Error} If the address can't be bound.
 */
export function serveStatus(
  current: () => StatusDeps,
  options: { readonly hostname: string; readonly port: number; readonly signal?: AbortSignal },
): StatusServer {
  const { hostname, port, signal } = options;
  signal?.throwIfAborted();
  // Nobody may ever ask: the router is loaded for whoever does.
  let app: Promise<{ fetch(request: Request): Response | Promise<Response> }> | undefined;
  const server = bind(hostname, port, async (request) => {
    app ??= import("./app.ts").then(({ statusApp }) => statusApp(current));
    return await (await app).fetch(request);
  });
  let closing: Promise<void> | undefined;
  const close = () => closing ??= shutDown(server);
  const closeUnasked = () => void close();
  signal?.addEventListener("abort", closeUnasked, { once: true });
  return {
    port: server.addr.port,
    async [Symbol.asyncDispose]() {
      signal?.removeEventListener("abort", closeUnasked);
      await close();
    },
  };
}

type NetServer = Deno.HttpServer<Deno.NetAddr> & { readonly abort: () => void };

function bind(
  hostname: string,
  port: number,
  answer: (request: Request) => Response | Promise<Response>,
): NetServer {
  const controller = new AbortController();
  try {
    const server = Deno.serve({ hostname, port, signal: controller.signal, onListen: () => {} }, answer);
    return Object.assign(server, { abort: () => controller.abort() });
  } catch (error) {
    const at = hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
    throw new Error(`Cannot serve health on ${at}: ${bindReason(error)}`, { cause: error });
  }
}

/** Lets requests under way end, and cuts off what takes too long. */
async function shutDown(server: NetServer): Promise<void> {
  const timer = setTimeout(() => server.abort(), SHUTDOWN_MS);
  try {
    await server.shutdown();
  } finally {
    clearTimeout(timer);
  }
}

function bindReason(error: unknown): string {
  if (error instanceof Deno.errors.AddrInUse) {
    return "address in use; end the other program, or choose another port with -healthz-port";
  }
  if (error instanceof Deno.errors.AddrNotAvailable) {
    return "this host has no such address; choose another with -healthz-ip";
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return "permission denied; choose a port above 1023 with -healthz-port";
  }
  return error instanceof Error ? error.message : String(error);
}
