import { dumpHostLinks } from "../cni/host_links.ts";
import { isRenderedConflist } from "../cni/conflist.ts";
import { statIfThere } from "../cni/write_if_other.ts";
import type { Options } from "../config/options.ts";
import { fileReason } from "../log/file_reason.ts";
import type { Log } from "../log/log.ts";
import type { NetlinkClient } from "../netlink/client.ts";

/** A larger file is no conflist. */
const MAX_CONFLIST_BYTES = 1 << 20;
const VTEP = /^flannel(-v6)?\.\d+$/;

/**
 * Takes away the conflist that was rendered before the host booted: the runtime would start pods by it, while there is
 * no overlay and perhaps another subnet. Only where nothing of the overlay is left, neither a VTEP nor the subnet file;
 * the plugin `flannel`, if that is in the conflist, sees by itself that there is no subnet.
 */
export function dropStaleConflist(
  { conflist, subnetFilePath }: Pick<Options, "conflist" | "subnetFilePath">,
  { client, log }: { readonly client: NetlinkClient; readonly log: Log },
): void {
  if (conflist === undefined) return;
  const { path } = conflist;
  try {
    const stat = statIfThere(path);
    if (stat?.isFile !== true || stat.size > MAX_CONFLIST_BYTES) return;
    if (statIfThere(subnetFilePath) !== undefined) return;
    if (!isRenderedConflist(Deno.readTextFileSync(path))) return;
    if (dumpHostLinks(client).some(({ name }) => VTEP.test(name))) return;
    Deno.removeSync(path);
    log.write("info", "conflist of the last boot removed", { path });
  } catch (error) {
    log.write("warn", "conflist of the last boot not removed", { path, reason: fileReason(error) });
  }
}
