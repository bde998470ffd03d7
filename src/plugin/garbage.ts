import { CNI_CODE, CniError } from "../pods/cni_error.ts";
import { buildConfig, type Host, onDisk, type Request, stateFolder } from "./request.ts";
import type { StateFolder } from "../pods/state.ts";
import { ifnameFault, isCniName, USUAL_IFNAME } from "../pods/cni_name.ts";
import { forward, readState, type SavedConfig, savedConfig, undoVanished } from "./verbs.ts";

interface Leftover {
  readonly containerId: string;
  /** Absent where flannel's plugin wrote the state. */
  readonly ifname: string | undefined;
}

/**
 * GC: detaches what is attached to no sandbox any more, and has the delegate do the same. All is tried, also
 * after a failure.
 */
export async function collectGarbage(request: Request, host: Host): Promise<void> {
  const { conf } = request;
  const valid = conf.validAttachments;
  if (valid === undefined) {
    throw new CniError(CNI_CODE.invalidConfig, "cni.dev/valid-attachments missing", "GC goes by it");
  }
  const state = stateFolder(request);
  const isValid = ({ containerId, ifname }: Leftover) =>
    valid.some((other) =>
      other.containerId === containerId && (ifname === undefined || other.ifname === ifname)
    );
  const leftovers = onDisk("read", state, () => state.list())
    .filter((found) => isNamed(found) && !isValid(found));
  const failures: CniError[] = [];
  for (
    const work of [
      ...leftovers.map((leftover) => () => release(leftover, state, { network: conf.name, host })),
      () => forward("GC", garbageConfig(request, host), host),
    ]
  ) {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
      failures.push(error);
    }
  }
  const [first, ...others] = failures;
  if (first === undefined) return;
  if (others.length === 0) throw first;
  const messages = failures.map(({ message }) => message).join("; ");
  throw new CniError(first.code, `${failures.length} releases failed`, messages);
}

/** Reports whether a file's name can be that of an attachment: what else lies in the folder is none of the runtime's. */
function isNamed({ containerId, ifname }: Leftover): boolean {
  return isCniName(containerId) &&
    (ifname === undefined || ifname !== "" && ifnameFault(ifname) === undefined);
}

/** Detaches one attachment whose sandbox is gone. */
async function release(
  { containerId, ifname = USUAL_IFNAME }: Leftover,
  state: StateFolder,
  { network, host }: { readonly network: string; readonly host: Host },
): Promise<void> {
  const saved = readState(state, { containerId, ifname }, host);
  const config = saved && savedConfig(saved);
  // Networks may share a folder; this one's garbage is all that was asked for.
  if (saved === undefined || config?.name !== network) return;
  await undoVanished(saved, { containerId, ifname }, { type: config.type, delegates: host.delegates });
  onDisk("remove", state, () => state.remove(saved));
}

/** What GC is forwarded with: also on a host that has no subnet any more. */
function garbageConfig(request: Request, host: Host): SavedConfig {
  const { conf } = request;
  const valid = conf.validAttachments!.map(({ containerId, ifname }) => ({
    containerID: containerId,
    ifname,
  }));
  const attachments = { "cni.dev/valid-attachments": valid, "cni.dev/attachments": valid };
  try {
    return { ...buildConfig(request, host), ...attachments };
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    const { delegate, ipam, name } = conf;
    const type = typeof delegate.type === "string" ? delegate.type : "bridge";
    return { ...delegate, type, name, ipam: { type: "host-local", ...ipam }, ...attachments };
  }
}
