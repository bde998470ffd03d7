import { createUnderlayLink, TestNetns } from "../double/netns.ts";

/** A host that a program is measured on. */
export interface EmptyHost {
  readonly netns: TestNetns;
  /** For the program's files. */
  readonly folder: string;
}

/** Opens a host with a network namespace, an underlay and a folder of its own; `stack` closes it. */
export async function openHost(stack: AsyncDisposableStack): Promise<EmptyHost> {
  const netns = stack.use(await TestNetns.create());
  await createUnderlayLink(netns, { name: "eth0", address4: "100.64.0.1/10" });
  const folder = await Deno.makeTempDir({ prefix: "loden-bench-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  return { netns, folder };
}
