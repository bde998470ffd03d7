import type { Libc } from "./libc.ts";

/** `RLIMIT_NOFILE` of getrlimit(2). */
const RLIMIT_NOFILE = 7;
const SELF = 0;
/** More is of no use: what is served is bounded, and a program that is started might close each that it may have. */
const ENOUGH = 65_536n;

/** How many descriptors a process may have. */
export interface DescriptorLimit {
  readonly soft: bigint;
  readonly hard: bigint;
}

/**
 * How many descriptors this process may have.
 *
 * @throws {NetlinkError} If the kernel does not say.
 */
export function descriptorLimit(libc: Libc): DescriptorLimit {
  const limit = new BigUint64Array(2);
  libc.checked(
    "read the limit of descriptors",
    libc.call.prlimit(SELF, RLIMIT_NOFILE, null, new Uint8Array(limit.buffer)),
  );
  return { soft: limit[0]!, hard: limit[1]! };
}

/**
 * Lets this process have as many descriptors as it may give itself: service managers set the soft limit to 1024 for the
 * sake of programs that call select(2).
 *
 * @throws {NetlinkError} If the kernel refuses.
 */
export function raiseDescriptorLimit(libc: Libc): void {
  const { soft, hard } = descriptorLimit(libc);
  const wanted = hard < ENOUGH ? hard : ENOUGH;
  if (soft < wanted) limitDescriptors(libc, { soft: wanted, hard });
}

/**
 * Sets how many descriptors a process may have.
 *
 * @throws {NetlinkError} If the kernel refuses.
 */
export function limitDescriptors(libc: Libc, { soft, hard }: DescriptorLimit, pid = SELF): void {
  const limit = new Uint8Array(new BigUint64Array([soft, hard]).buffer);
  libc.checked("set the limit of descriptors", libc.call.prlimit(pid, RLIMIT_NOFILE, limit, null));
}
