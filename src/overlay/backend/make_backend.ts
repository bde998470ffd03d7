import type { BackendConfig } from "../../config/backend_schema.ts";
import type { BackendType } from "../../config/backend_types.ts";
import { allocBackend } from "./alloc.ts";
import { awsVpcBackend } from "./aws_vpc.ts";
import type { Backend, BackendContext } from "./backend.ts";
import { withBlackholes } from "./blackhole.ts";
import { hostGwBackend } from "./host_gw.ts";
import { vxlanBackend } from "./vxlan.ts";

type ConfigOf<Type extends BackendType> = Extract<BackendConfig, { readonly type: unknown }> & {
  readonly type: Type;
};

/** All backends, by the `Type` of `net-conf.json`. */
const BACKENDS: {
  readonly [Type in BackendType]: (config: ConfigOf<Type>, context: BackendContext) => Backend;
} = {
  "vxlan": vxlanBackend,
  // What it publishes is vxlan's, so that it and flannel's vxlan are one overlay.
  "auto": (config, context) => ({ ...vxlanBackend(config, context), type: "auto" }),
  "host-gw": hostGwBackend,
  "alloc": allocBackend,
  "aws-vpc": awsVpcBackend,
};

/** The backend that the configuration asks for. */
export function makeBackend(
  config: BackendConfig,
  context: BackendContext & { readonly hasBlackholeRoute: boolean },
): Backend {
  const make = BACKENDS[config.type] as (config: BackendConfig, context: BackendContext) => Backend;
  const backend = make(config, context);
  return context.hasBlackholeRoute ? withBlackholes(backend) : backend;
}
