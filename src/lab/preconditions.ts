import type { Libc } from "../linux/libc.ts";
import { isInstalled } from "./command.ts";

/** Capability numbers of capabilities(7). */
const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n;

/** What a lab needs of the machine. */
export interface Machine {
  /** The bits of `CapEff` in `/proc/self/status`. */
  readonly capabilities: bigint;
  readonly hasIp: boolean;
  readonly hasPing: boolean;
}

/** Looks at the machine; makes nothing. */
export async function observeMachine(libc: Libc, searchPath: string): Promise<Machine> {
  return {
    capabilities: parseCapabilities(libc.readSysctl("/proc/self/status")),
    hasIp: await isInstalled("ip", searchPath),
    hasPing: await isInstalled("ping", searchPath),
  };
}

/**
 * Parses what a process may do.
 *
 * @param status `/proc/PID/status`; no bit is set where it does not tell.
 *
 * Source: proc(5).
 */
export function parseCapabilities(status: string): bigint {
  return BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
}

/** What keeps a lab from being made, and what to do, in one line; `undefined` if nothing does. */
export function missingPrecondition(machine: Machine): string | undefined {
  const may = (capability: bigint) => (machine.capabilities >> capability & 1n) === 1n;
  if (!may(CAP_NET_ADMIN) || !may(CAP_SYS_ADMIN)) {
    return "Cannot make network namespaces: this process lacks CAP_SYS_ADMIN or CAP_NET_ADMIN; run it as root, " +
      "in a container with --privileged";
  }
  if (!machine.hasIp) return "Cannot make network namespaces: ip is not installed; install iproute2";
  if (!machine.hasPing) return "Cannot measure the overlay: ping is not installed; install iputils-ping";
  return undefined;
}
