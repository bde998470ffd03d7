/** The error numbers of errno(3) that the kernel answers network requests with, on Linux. */
const NAMES: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  6: "ENXIO",
  7: "E2BIG",
  9: "EBADF",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  16: "EBUSY",
  17: "EEXIST",
  19: "ENODEV",
  20: "ENOTDIR",
  22: "EINVAL",
  24: "EMFILE",
  28: "ENOSPC",
  30: "EROFS",
  34: "ERANGE",
  85: "ERESTART",
  90: "EMSGSIZE",
  93: "EPROTONOSUPPORT",
  95: "EOPNOTSUPP",
  97: "EAFNOSUPPORT",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
  100: "ENETDOWN",
  101: "ENETUNREACH",
  105: "ENOBUFS",
  110: "ETIMEDOUT",
  111: "ECONNREFUSED",
  113: "EHOSTUNREACH",
};

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EAGAIN = 11;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EINVAL = 22;
export const ERESTART = 85;
export const EMSGSIZE = 90;
export const EOPNOTSUPP = 95;
export const EAFNOSUPPORT = 97;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENOBUFS = 105;
export const ECONNREFUSED = 111;
export const EHOSTUNREACH = 113;

/** The symbolic name of an error number: `ENOBUFS`, or `errno 131` for one without a name here. */
export function errnoName(errno: number): string {
  return NAMES[errno] ?? `errno ${errno}`;
}

/** The kernel refused one netlink request, or a system call failed. */
export class NetlinkError extends Error {
  override readonly name = "NetlinkError";

  /**
   * @param action What was asked, as a verb phrase: `add route 10.244.3.0/24`.
   * @param errno Positive error number from the `NLMSG_ERROR` reply, or of the system call.
   * @param extack The kernel's own sentence, where it sent one.
   */
  constructor(readonly action: string, readonly errno: number, readonly extack?: string) {
    super(`Cannot ${action}: ${errnoName(errno)}${extack ? `, "${extack}"` : ""}`);
  }
}

/** Reports whether the kernel refused a request with `errno`. */
export function isErrno(error: unknown, errno: number): error is NetlinkError {
  return error instanceof NetlinkError && error.errno === errno;
}
