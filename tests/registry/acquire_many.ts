/**
 * One of several processes that race for the subnets of one file: takes a lease for each of `COUNT` hosts, and
 * says `HOST SUBNET` once it has it.
 *
 * Usage: acquire_many.ts PATH NAME COUNT
 */
import { openLocalRegistry } from "../../src/registry/local/local.ts";
import { formatPrefix } from "../../src/model/address.ts";
import { IPV4, request } from "./local/local_world.ts";

const [path, name, count] = Deno.args;
const { signal } = new AbortController();
const log = { write: () => {} };
const deps = {
  now: () => Date.now(),
  elapsedMs: () => performance.now(),
  random: () => crypto.getRandomValues(new BigUint64Array(1))[0]!,
  log,
};
const { writable } = Deno.stdout;
const writer = writable.getWriter();
for (let n = 0; n < Number(count); n++) {
  using registry = openLocalRegistry(path!, deps, { host: `${name}-${n}`, families: [IPV4] });
  const { host, parts: [part] } = await registry.acquire(request("192.0.2.1"), { signal });
  await writer.write(new TextEncoder().encode(`${host} ${formatPrefix(part!.subnet)}\n`));
}
