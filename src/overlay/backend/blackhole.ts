import type { Backend } from "./backend.ts";
import { pushBlackhole } from "./push_route.ts";

/** The same backend, with a blackhole route for each of this host's own subnets. */
export function withBlackholes(backend: Backend): Backend {
  return {
    ...backend,
    desire(underlay, own, remote) {
      const desire = backend.desire(underlay, own, remote);
      for (const { subnet } of own.parts) pushBlackhole(desire.state, subnet);
      return desire;
    },
  };
}
