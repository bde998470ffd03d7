/** What `fetch` finds a proxy by, for URLs with http and with https. */
const VARIABLES = {
  "http:": ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
  "https:": ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
} as const;
const LOOPBACK = "localhost,127.0.0.0/8,::1";

/** Variables of a process, as `Deno.env` has them. */
type Environment = Pick<typeof Deno.env, "get" | "set">;

/** Has `fetch` ask this very machine itself and not through a proxy, as Go's clients do: a proxy's loopback is another one. */
export function leaveLoopbackOut(environment: Environment): void {
  const isProxied = Object.values(VARIABLES).flat().some((name) => environment.get(name));
  if (!isProxied) return;
  const names = ["NO_PROXY", "no_proxy"];
  const listed = names.map((name) => environment.get(name)).find((list) => list);
  for (const name of names) environment.set(name, listed === undefined ? LOOPBACK : `${listed},${LOOPBACK}`);
}

/** That a server may be asked through a proxy, which then is the one that does not answer; empty where it is not. */
export function proxyHint(url: string, environment: Environment = Deno.env): string {
  const { protocol, hostname } = new URL(url);
  if (/^(?:localhost|127\..*|\[::1\])$/.test(hostname)) return "";
  const names: readonly string[] = VARIABLES[protocol as keyof typeof VARIABLES] ?? [];
  const name = names.find((name) => environment.get(name));
  return name === undefined
    ? ""
    : `; unless NO_PROXY names it, it is asked through the proxy of ${name}, which may be what fails`;
}
