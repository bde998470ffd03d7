import type { LabHost } from "../../src/lab/host.ts";
import { Netns } from "../../src/lab/netns.ts";
import { type Address, parseAddress } from "../../src/model/address.ts";
import { attach, type Conflist, detach, type Sandbox } from "../plugin/runtime.ts";
import type { NodePlace } from "./daemon_set.ts";

/** Where Debian has the plugins of the CNI project. */
const PLUGINS = "/usr/lib/cni";
const BINARIES = "/opt/cni/bin";
export const CONFLIST = "/etc/cni/net.d/10-flannel.conflist";

/**
 * Runs a plugin with the files of its node: `ip netns exec` has given it a mount namespace of its own. What it calls is
 * in the node's folder too.
 */
function wrapper(root: string, type: string): string {
  return `#!/bin/sh -e
mount --rbind /run/netns '${root}/run/netns'
mount --rbind '${root}/run' /run
mount --rbind '${root}/var' /var
export CNI_PATH='${root}${BINARIES}'
exec "$CNI_PATH/${type}"
`;
}

/** Makes what a node has before Kubernetes comes: folders, and the plugins of the CNI project. */
export async function furnish(root: string): Promise<void> {
  for (const folder of [BINARIES, "/run/netns", "/var/lib/cni", "/wrappers"]) {
    await Deno.mkdir(root + folder, { recursive: true });
  }
  for await (const { name } of Deno.readDir(PLUGINS)) {
    await Deno.symlink(`${PLUGINS}/${name}`, `${root}${BINARIES}/${name}`);
  }
}

/** A pod without processes, attached through the conflist of its node as a container runtime would. */
export class AttachedPod implements AsyncDisposable {
  readonly #list: Conflist;
  readonly #sandbox: Sandbox;
  readonly #result: Record<string, unknown>;
  #isAttached = true;

  private constructor(
    /** The node that it is on. */
    readonly name: string,
    readonly netns: Netns,
    readonly addresses: readonly Address[],
    list: Conflist,
    sandbox: Sandbox,
    result: Record<string, unknown>,
  ) {
    this.#list = list;
    this.#sandbox = sandbox;
    this.#result = result;
  }

  /** @param serial Which of the pods of its host, from 1. */
  static async attach(place: NodePlace, serial: number): Promise<AttachedPod> {
    const { libc, root } = place;
    const list: Conflist = JSON.parse(await Deno.readTextFile(root + CONFLIST));
    for (const { type } of list.plugins) {
      await Deno.writeTextFile(`${root}/wrappers/${type}`, wrapper(root, type), { mode: 0o755 });
    }
    const signal = new AbortController().signal;
    const netns = await Netns.create(libc, `${place.netns.name}-p${serial}`, { signal });
    try {
      const sandbox: Sandbox = {
        hostNetns: place.netns.name,
        pluginFolders: [`${root}/wrappers`],
        containerId: netns.name,
        netns: netns.path,
      };
      const result = await attach(list, sandbox);
      const addresses = (result.ips as { address: string }[]).map(({ address }) => {
        return parseAddress(address.split("/")[0]!);
      });
      return new AttachedPod(place.name, netns, addresses, list, sandbox, result);
    } catch (error) {
      await netns[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Looks to a ping like a host of a lab: the two things that it wants of one. */
  get asPinger(): LabHost {
    return { name: this.name, pod: this } as Pick<LabHost, "name" | "pod"> as LabHost;
  }

  async detach(): Promise<void> {
    this.#isAttached = false;
    await detach(this.#list, this.#sandbox, this.#result);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.#isAttached) await this.detach();
    } finally {
      await this.netns[Symbol.asyncDispose]();
    }
  }
}
