import type { ObservedLink } from "../model/state.ts";
import type { NetlinkClient } from "./client.ts";
import { ENODEV, isErrno } from "./errno.ts";
import { decodeLink, encodeLinkQuery } from "./link.ts";

/**
 * The link whose index is `linkIndex`; `undefined` if there is none.
 *
 * @throws {NetlinkError} If the kernel refused for another reason.
 */
export function queryLinkAt(client: NetlinkClient, linkIndex: number): ObservedLink | undefined {
  let link: ObservedLink | undefined;
  try {
    client.request(
      `read link ${linkIndex}`,
      (writer, sequence) => encodeLinkQuery(writer, sequence, linkIndex),
      (message) => link = decodeLink(message) ?? link,
    );
  } catch (error) {
    if (!isErrno(error, ENODEV)) throw error;
  }
  return link;
}

/** The link with the name of what it is enslaved to, if it is. */
export function withMasterName(
  client: NetlinkClient,
  link: ObservedLink | undefined,
): ObservedLink | undefined {
  if (link?.masterIndex === undefined) return link;
  const masterName = queryLinkAt(client, link.masterIndex)?.name;
  return { ...link, ...masterName !== undefined && { masterName } };
}
