import { errorText } from "../log/error_text.ts";
import { LONGEST_TIMER_MS, within } from "../loop/pause.ts";
import { inTurns, type Worker } from "../loop/worker.ts";
import type { Condition } from "../model/condition.ts";
import type { StatusDeps } from "./facts.ts";

/** The longest pause between attempts to serve where another program has the port, or the address is not there yet. */
const LAST_RETRY_MS = 2000;

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
  // There may be no request ever: the router is loaded for the first one.
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

/** The endpoints, served as soon as that can be. */
export interface KeptStatusServer extends AsyncDisposable {
  /** That they are not served, and why; none while they are. */
  readonly conditions: readonly Condition[];
  /** Tries again until they are served, or `signal` aborts. */
  readonly run: Worker["run"];
}

/**
 * Serves the endpoints as soon as that can be. The overlay must work without them too: a port that another program
 * has, as another agent of this host, may be free later, and an address may come.
 *
 * @throws {Error} If the address is none.
 */
export function keepServing(
  current: () => StatusDeps,
  options: { readonly hostname: string; readonly port: number; readonly signal: AbortSignal },
): KeptStatusServer {
  let server: StatusServer | undefined;
  let conditions: readonly Condition[] = [];
  const attempt = () => {
    if (server !== undefined) return true;
    try {
      server = serveStatus(current, options);
      conditions = [];
      return true;
    } catch (error) {
      if (!canPass(error)) throw error;
      conditions = [{ code: "health-port-taken", sentence: errorText(error) }];
      return false;
    }
  };
  attempt();
  const periodMs = () => server === undefined ? LAST_RETRY_MS : LONGEST_TIMER_MS;
  return {
    get conditions() {
      return conditions;
    },
    run: inTurns(attempt, { periodMs }),
    async [Symbol.asyncDispose]() {
      await server?.[Symbol.asyncDispose]();
    },
  };
}

/** Whether an address may be had later, or is refused to this process only: not so what is no address. */
function canPass(error: unknown): boolean {
  const { AddrInUse, AddrNotAvailable, PermissionDenied } = Deno.errors;
  const cause = error instanceof Error ? error.cause : undefined;
  return [AddrInUse, AddrNotAvailable, PermissionDenied].some((kind) => cause instanceof kind);
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
  const ended = server.shutdown();
  if (await within(ended.then(() => true), SHUTDOWN_MS) === undefined) server.abort();
  await ended;
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
  return errorText(error);
}
