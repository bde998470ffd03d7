import { planRegistry } from "../../../src/command/cleanup/cleanup_registry.ts";
import type { RegistryOptions } from "../../../src/config/registry_flags.ts";
import { type Address, parseAddress } from "../../../src/model/address.ts";
import { signal } from "../../registry/kube/servers.ts";

/** Removes the lease of the host at `own`; returns what was to be removed. */
export async function giveUp(
  options: RegistryOptions,
  own: readonly string[],
  { isDryRun = false, nodeName = "n1", during = () => Promise.resolve() as Promise<unknown>, ...known }: {
    readonly isDryRun?: boolean;
    readonly nodeName?: string;
    readonly during?: () => Promise<unknown>;
    /** What is known of the host besides its addresses. */
    readonly machine?: string;
    readonly macs?: ReadonlySet<string>;
  } = {},
): Promise<string[]> {
  using stack = new DisposableStack();
  const steps = await planRegistry(options, {
    environment: { NODE_NAME: nodeName },
    host: { addresses: new Set<Address>(own.map(parseAddress)), ...known },
    stack,
    signal,
  });
  await during();
  if (!isDryRun) { for (const step of steps) await step.run(); }
  return steps.map(({ object }) => object);
}
