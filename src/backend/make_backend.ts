import type { BackendConfig } from "../config/backend_schema.ts";
import { allocBackend } from "./alloc.ts";
import type { Backend, BackendContext } from "./backend.ts";
import { withBlackholes } from "./blackhole.ts";
import { hostGwBackend } from "./host_gw.ts";
import { vxlanBackend } from "./vxlan.ts";

/** The backend that the configuration asks for. */
export function makeBackend(
  config: BackendConfig,
  context: BackendContext & { readonly hasBlackholeRoute: boolean },
): Backend {
  const backend = ofType(config, context);
  return context.hasBlackholeRoute ? withBlackholes(backend) : backend;
}

function ofType(config: BackendConfig, context: BackendContext): Backend {
  switch (config.type) {
    case "vxlan":
      return vxlanBackend(config, context);
    case "auto":
      // What it publishes is vxlan's, so that it and flannel's vxlan are one overlay.
      return { ...vxlanBackend(config, context), type: "auto" };
    case "host-gw":
      return hostGwBackend(config, context);
    case "alloc":
      return allocBackend(config, context);
  }
}
