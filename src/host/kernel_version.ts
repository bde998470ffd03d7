/** A version of the kernel's source: 5.4.41 is `[5, 4, 41]`. */
export type KernelVersion = readonly [major: number, minor: number, patch: number];

/**
 * The version of the stable kernel that a distribution's kernel is built from; `undefined` if nothing tells.
 *
 * What `uname -r` says is not it where the third number is the distribution's own, as in Debian's `4.19.0-27-amd64`
 * and Ubuntu's `5.4.0-150-generic`.
 *
 * @param procVersion `/proc/version`. Debian's has the source's version at its end: `#1 SMP Debian 4.19.316-1`.
 * @param signature `/proc/version_signature`, which only Ubuntu has: `Ubuntu 5.4.0-150.167-generic 5.4.233`.
 */
export function parseKernelVersion(procVersion: string, signature = ""): KernelVersion | undefined {
  const match = /^Ubuntu \S+ (\d+)\.(\d+)\.(\d+)/.exec(signature) ??
    /#\d.* Debian (\d+)\.(\d+)\.(\d+)/.exec(procVersion) ??
    /^Linux version (\d+)\.(\d+)(?:\.(\d+))?/.exec(procVersion);
  if (match === null) return undefined;
  return [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
}

/** Formats as `5.4.41`. */
export function formatKernelVersion(version: KernelVersion): string {
  return version.join(".");
}

/**
 * The version of the kernel that runs; `undefined` if nothing tells.
 *
 * @param read Reads a file of proc(5).
 */
export function runningKernel(read: (path: string) => string): KernelVersion | undefined {
  const orEmpty = (path: string) => {
    try {
      return read(path);
    } catch {
      return "";
    }
  };
  return parseKernelVersion(orEmpty("/proc/version"), orEmpty("/proc/version_signature"));
}
