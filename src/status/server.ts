import { EACCES, EADDRINUSE, EADDRNOTAVAIL, isErrno } from "../linux/errno.ts";
import type { Libc } from "../linux/libc.ts";
import { portOwner } from "../linux/port_owner.ts";
import { TcpListener } from "../linux/tcp_listener.ts";
import { errorText } from "../log/error_text.ts";
import { LONGEST_TIMER_MS } from "../loop/pause.ts";
import { inTurns, type Worker } from "../loop/worker.ts";
import { parseAddress } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { StatusDeps } from "./facts.ts";
import type { Answer } from "./http_connection.ts";
import { HttpServer } from "./http_server.ts";
import { ownNames } from "./own_names.ts";

/** The longest pause between attempts to serve where another program has the port, or the address is not there yet. */
const LAST_RETRY_MS = 2000;

/** Who has the port is looked up at the first attempt and then at each of so many. */
const ATTEMPTS_PER_OWNER = 15;

/** What this host calls itself, also while it has no file of it. */
const HOST_NAME = "/proc/sys/kernel/hostname";
const LOOPBACK = "127.0.0.1";

/** Where the endpoints are to be served. */
export interface StatusPlace {
  /** An IP address, or `localhost`. */
  readonly hostname: string;
  readonly port: number;
  /** Names of this host that the endpoints are asked by, beside its own. */
  readonly names?: readonly string[];
  /** The agent's own pod, by which it is asked through an API server. */
  readonly podName?: string;
}

/** The endpoints as they are served; closing it ends the server. */
export interface StatusServer extends AsyncDisposable {
  /** The port in use, where 0 was asked for. */
  readonly port: number;
  /** Why no connection can be taken now; `undefined` if they can. */
  readonly fault: string | undefined;
}

/**
 * Serves `/healthz`, `/readyz` and `/status` until the server is disposed or `signal` aborts.
 *
 * @throws {Error} If the address can't be bound.
 */
export function serveStatus(
  current: () => StatusDeps,
  options: StatusPlace & { readonly libc: Libc; readonly signal?: AbortSignal },
): StatusServer {
  const { signal } = options;
  signal?.throwIfAborted();
  // There may be no request ever: the router is loaded for the first one.
  let app: Promise<{ fetch(request: Request): Response | Promise<Response> }> | undefined;
  const { server, port } = bind(options.libc, options, async (request) => {
    app ??= import("./app.ts").then(({ statusApp }) => statusApp(current));
    return await (await app).fetch(request);
  });
  let closing: Promise<void> | undefined;
  const close = () => closing ??= server[Symbol.asyncDispose]();
  const closeUnasked = () => void close();
  signal?.addEventListener("abort", closeUnasked, { once: true });
  return {
    port,
    get fault() {
      return server.fault;
    },
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
  options: StatusPlace & { readonly libc: Libc; readonly signal: AbortSignal },
): KeptStatusServer {
  let server: StatusServer | undefined;
  let conditions: readonly Condition[] = [];
  let attempts = 0;
  let owner: string | undefined;
  const attempt = () => {
    if (server !== undefined) return true;
    try {
      server = serveStatus(current, options);
      conditions = [];
      return true;
    } catch (error) {
      if (!(error instanceof Error && canPass(error))) throw error;
      // That is a walk through all processes.
      if (attempts++ % ATTEMPTS_PER_OWNER === 0) {
        owner = isErrno(error.cause, EADDRINUSE) ? portOwner(options.libc, "tcp", options.port) : undefined;
      }
      const reason = owner === undefined ? errorText(error) : notServed(options, portReason(owner));
      conditions = [{ code: "health-port-taken", sentence: reason }];
      return false;
    }
  };
  attempt();
  const periodMs = () => server === undefined ? LAST_RETRY_MS : LONGEST_TIMER_MS;
  return {
    get conditions(): readonly Condition[] {
      const fault = server?.fault;
      if (fault === undefined) return conditions;
      const sentence = `the health server on ${
        where(options)
      } takes no connections: ${fault}; it tries again by itself`;
      return [{ code: "health-not-served", sentence }];
    },
    run: inTurns(attempt, { periodMs }),
    async [Symbol.asyncDispose]() {
      await server?.[Symbol.asyncDispose]();
    },
  };
}

/** Whether an address may be had later, or is refused to this process only: not so what is no address. */
function canPass({ cause }: Error): boolean {
  return [EADDRINUSE, EADDRNOTAVAIL, EACCES].some((errno) => isErrno(cause, errno));
}

/** @throws {Error} If the address can't be had: with the kernel's error as its cause, if there is one. */
function bind(
  libc: Libc,
  place: StatusPlace,
  answer: Answer,
): { readonly server: HttpServer; readonly port: number } {
  const { hostname, port, names = [], podName } = place;
  const isOwnName = ownNames(() => [...names, libc.readSysctl(HOST_NAME)], podName);
  try {
    const address = parseAddress(hostname === "localhost" ? LOOPBACK : hostname);
    const listener = TcpListener.open(libc, address, port);
    return { server: HttpServer.serve(listener, { libc, answer, isOwnName }), port: listener.port };
  } catch (error) {
    throw new Error(notServed(place, bindReason(error)), { cause: error });
  }
}

function notServed(place: StatusPlace, reason: string): string {
  return `Cannot serve health on ${where(place)}: ${reason}`;
}

function portReason(owner: string): string {
  return `address in use by ${owner}; end it, or choose another port with -healthz-port`;
}

function where({ hostname, port }: StatusPlace): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

function bindReason(error: unknown): string {
  if (isErrno(error, EADDRINUSE)) {
    return portReason("another program");
  }
  if (isErrno(error, EADDRNOTAVAIL)) return "this host has no such address; choose another with -healthz-ip";
  if (isErrno(error, EACCES)) return "permission denied; choose a port above 1023 with -healthz-port";
  if (error instanceof SyntaxError) return "it is no IP address; choose one with -healthz-ip";
  return errorText(error);
}
