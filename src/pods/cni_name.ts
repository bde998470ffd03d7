/** How runtimes call the link of a container, where nothing says it. */
export const USUAL_IFNAME = "eth0";

/** Names of containers and networks. */
export const CNI_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** `IFNAMSIZ` of the kernel, without the final zero byte. */
export const MAX_IFNAME_BYTES = 15;

/** Reports whether `text` can name a network or a container. */
export function isCniName(text: string): boolean {
  return CNI_NAME.test(text);
}

/** Why the kernel would refuse a link's name; absent if it would not. */
export function ifnameFault(ifname: string): string | undefined {
  if (ifname === "." || ifname === "..") return 'must be neither "." nor ".."';
  if (new TextEncoder().encode(ifname).length > MAX_IFNAME_BYTES) {
    return `must be at most ${MAX_IFNAME_BYTES} bytes`;
  }
  if (/[/:\s\0]/.test(ifname)) return "must have no slash, colon or blank";
  return undefined;
}
