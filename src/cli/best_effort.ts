import type { Log } from "../log/log.ts";
import type { Libc } from "../netlink/ffi.ts";
import { errorText } from "./keep_running.ts";

/** What `open` opens; nothing where the system has no more of it, which only makes the agent slower to notice. */
export function orNothing<T>(event: string, log: Log, open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    log.write("warn", event, { reason: errorText(error) });
    return undefined;
  }
}

/** What this host is called; empty where that is not known. */
export function hostName(libc: Libc, log: Log): string {
  return orNothing("host name not read", log, () => libc.readSysctl("/proc/sys/kernel/hostname")) ?? "";
}

/** A router advertisement from a pod must not change this host's routes; not every kernel has IPv6. */
export function refuseRouterAdvertisements(libc: Libc, name: string, log: Log): void {
  try {
    libc.writeSysctl(`/proc/sys/net/ipv6/conf/${name}/accept_ra`, "0");
  } catch (error) {
    log.write("debug", "accept_ra not set", { link: name, reason: errorText(error) });
  }
}
