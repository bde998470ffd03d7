import { linkSetting } from "../host/sysctl_checks.ts";
import { writeSetting } from "../host/sysctl_files.ts";
import { type Machine, readMachine } from "../host/origin.ts";
import type { Log } from "../log/log.ts";
import { AF_INET6 } from "../model/address.ts";
import type { Libc } from "../linux/libc.ts";
import { errorText } from "../log/error_text.ts";

/** What `work` returns; where it throws, a warning `event` with the reason, and `undefined`: the agent goes on without. */
export function orWarn<T>(event: string, log: Log, work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    log.write("warn", event, { reason: errorText(error) });
    return undefined;
  }
}

/** What this host is called; empty where that is not known. */
function hostName(libc: Libc, log: Log): string {
  return orWarn("host name not read", log, () => libc.readSysctl("/proc/sys/kernel/hostname")) ?? "";
}

/**
 * Sets what a VTEP needs before it is used: a router advertisement from a pod must not change this host's routes, and
 * one for IPv6 must have that, though new links may have none. Not every kernel has IPv6.
 */
export function settleVtep(
  libc: Libc,
  name: string,
  { isIpv6 }: { readonly isIpv6: boolean },
  log: Log,
): void {
  for (const setting of ["accept_ra", ...isIpv6 ? ["disable_ipv6"] : []]) {
    try {
      writeSetting(libc, linkSetting(AF_INET6, name, setting), 0);
    } catch (error) {
      log.write("debug", `${setting} not set`, { link: name, reason: errorText(error) });
    }
  }
}

/** What tells this machine from others, as far as that can be read. */
export async function machineOf(machineIdPath: string | undefined, libc: Libc, log: Log): Promise<Machine> {
  return await readMachine(machineIdPath, hostName(libc, log), (reason) => {
    log.write("info", "machine id not read", { path: machineIdPath, reason });
  });
}
