/** What `fetch` finds a proxy by, for URLs with http and with https. */
const VARIABLES = [
  ...["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"],
  ...["ALL_PROXY", "all_proxy"],
];
/** What means this very machine, or its link, as the metadata service of clouds does: a proxy's is another one. */
const OWN = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fd00:ec2::254";

/** Variables of a process, as `Deno.env` has them. */
type Environment = Pick<typeof Deno.env, "get" | "set">;

/**
 * Has every `fetch` of this process that has no client of its own ask this very machine itself and not through a proxy, as
 * Go's clients do.
 */
export function leaveLoopbackOut(environment: Environment): void {
  if (!VARIABLES.some((name) => environment.get(name))) return;
  const names = ["NO_PROXY", "no_proxy"];
  const listed = names.map((name) => environment.get(name)).find((list) => list);
  for (const name of names) environment.set(name, listed === undefined ? OWN : `${listed},${OWN}`);
}
