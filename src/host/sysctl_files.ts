import { EACCES, ENOENT, EPERM, isErrno } from "../linux/errno.ts";
import type { Libc } from "../linux/libc.ts";

/** `EROFS` of errno(3). */
const EROFS = 30;

/** Where the kernel's own sysctls are; read only in a container without privileges. */
const OWN = "/proc/sys";
/** Where a pod has the host's /proc/sys/net mounted to be written: no runtime mounts anything inside of /proc. */
const MOUNTED = "/host/proc/sys";

/**
 * Reads a sysctl as a number; `undefined` if there is none.
 *
 * @param path Below /proc/sys.
 * @throws {NetlinkError} If it can't be read.
 */
export function readSetting(libc: Libc, path: string): number | undefined {
  try {
    return Number(libc.readSysctl(`${OWN}/${path}`));
  } catch (error) {
    if (isErrno(error, ENOENT)) return undefined;
    throw error;
  }
}

/**
 * Writes a sysctl, where it is read only by way of the mount that the manifests make.
 *
 * @param path Below /proc/sys.
 * @throws {NetlinkError} If it can't be written.
 */
export function writeSetting(libc: Libc, path: string, value: number): void {
  try {
    return libc.writeSysctl(`${OWN}/${path}`, String(value));
  } catch (error) {
    if (![EROFS, EACCES, EPERM].some((errno) => isErrno(error, errno))) throw error;
    try {
      return libc.writeSysctl(`${MOUNTED}/${path}`, String(value));
    } catch (other) {
      // Without such a mount the first refusal is the one that counts.
      throw isErrno(other, ENOENT) ? error : other;
    }
  }
}
