import type { Options } from "../../config/options.ts";
import { readMachine } from "../../host/origin.ts";
import { errorText } from "../../log/error_text.ts";
import { LinkedAbort } from "../../loop/linked_abort.ts";
import { formatMac } from "../../model/address.ts";
import type { NetlinkClient } from "../../netlink/client.ts";
import { dumpLinks } from "../../rtnetlink/link.ts";
import { findOwnAddresses, heldLeases } from "../cleanup/cleanup_registry.ts";
import type { CleanupPlan } from "../cleanup/cleanup_step.ts";

/** A registry that works answers sooner. */
const REGISTRY_MS = 10_000;

/** What it needs of the process and the host. */
export interface LeaseDeps {
  readonly client: NetlinkClient;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** What is opened here is closed by it, after the steps are done. */
  readonly stack: DisposableStack;
  readonly signal: AbortSignal;
}

/**
 * Plans how the own lease is left without what flanneld does not know. The lease stays: with it flanneld takes the same
 * subnet. A registry that can't be asked keeps nobody: flanneld does not look at what remains.
 */
export async function planLease(
  options: Options,
  { client, environment, stack, signal }: LeaseDeps,
): Promise<CleanupPlan> {
  const { registry } = options;
  if (registry.kind === "local") {
    return {
      steps: [],
      kept: [`lease registry ${registry.path}: flanneld knows none of the kind; give it etcd or Kubernetes`],
    };
  }
  const abort = stack.use(new LinkedAbort(signal));
  abort.limit(REGISTRY_MS, new Error(`no answer within ${REGISTRY_MS / 1000} s`));
  try {
    const { machine } = await readMachine(options.machineIdPath, "", () => {});
    const macs = new Set(dumpLinks(client).flatMap(({ mac }) => mac === undefined ? [] : formatMac(mac)));
    const host = { machine, macs, addresses: findOwnAddresses(client, options) };
    const held = await heldLeases(registry, { environment, host, stack, signal: abort.signal });
    abort.limit(Infinity);
    const steps = held.flatMap(({ object, strip }) =>
      strip === undefined ? [] : [{
        verb: "turn" as const,
        object: `${object.replace(/: annotations .*$/s, "")} into flanneld's, as it stands`,
        run: async () => {
          if (!await strip({ signal })) throw new Error("it has changed meanwhile; run this again");
        },
      }]
    );
    return { steps, kept: [] };
  } catch (error) {
    signal.throwIfAborted();
    return {
      steps: [],
      kept: [remainder(registry, errorText(abort.signal.aborted ? abort.signal.reason : error))],
    };
  }
}

/** What stays in a registry that can't be asked, and how it is removed. */
function remainder(registry: Exclude<Options["registry"], { kind: "local" }>, reason: string): string {
  if (registry.kind === "etcd") {
    return `LodenOrigin and LodenSince in this host's lease (${reason}): flanneld does not look at them, and writes ` +
      "the lease anew when it starts";
  }
  const [origin, since] = ["origin", "since"].map((name) => `${registry.annotationPrefix}loden-${name}`);
  return `annotations ${origin} and ${since} of this node (${reason}): flanneld does not look at them; ` +
    `kubectl annotate node NAME ${origin}- ${since}- removes them`;
}
