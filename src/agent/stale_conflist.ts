import { isRenderedConflist, MAX_CONFLIST_BYTES } from "../pods/conflist.ts";
import { readIfThere, statIfThere } from "../file/read_file.ts";
import type { Options } from "../config/options.ts";
import { fileReason } from "../file/file_reason.ts";
import type { Log } from "../log/log.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { dumpLinks } from "../rtnetlink/link.ts";
import { isOurVtep } from "../model/vtep.ts";

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
    if (!isRenderedConflist(readIfThere(path, MAX_CONFLIST_BYTES) ?? "")) return;
    if (statIfThere(subnetFilePath) !== undefined || dumpLinks(client).some(isOurVtep)) return;
    Deno.removeSync(path);
    log.write("info", "conflist of the last boot removed", { path });
  } catch (error) {
    log.write("warn", "conflist of the last boot not removed", { path, reason: fileReason(error) });
  }
}
