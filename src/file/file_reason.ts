/** What the system's error numbers mean for a file, and what to do about it where something can be done. */
const REASONS: Readonly<Record<string, string>> = {
  EMFILE: "this process has as many files open as it may; raise its limit (LimitNOFILE, ulimit -n)",
  ENFILE: "this host has as many files open as it may; raise fs.file-max, or look for who holds them",
  ENOSPC: "no space or no inodes are left on its file system; make room there",
  EDQUOT: "the quota of its file system is used up; make room there",
  EROFS: "its file system is read-only",
  EIO: "its disk reports errors",
};

/** Why a file or folder cannot be used, in words for a person; the system's own where there are none here. */
export function fileReason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file or folder";
  if (error instanceof Deno.errors.IsADirectory) return "it is a folder";
  if (error instanceof Deno.errors.NotADirectory || error instanceof Deno.errors.AlreadyExists) {
    return "a part of its path is not a folder";
  }
  const reason = REASONS[errorCode(error) ?? ""];
  if (reason !== undefined) return reason;
  if (error instanceof Deno.errors.PermissionDenied) return "this user may not";
  // Deno opens devices and the kernel's files only for a program that may do everything.
  if (error instanceof Deno.errors.NotCapable) return "loden is built without the right to use it";
  if (!(error instanceof Error)) return String(error);
  // Deno puts the call and its arguments behind the system's words.
  return error.message.replace(/: \w+ '.*$/s, "");
}

/** The system's name of what went wrong, as `ENOSPC`; `undefined` if the system has not said it. */
export function errorCode(error: unknown): string | undefined {
  const { code } = Object(error) as { readonly code?: unknown };
  return typeof code === "string" ? code : undefined;
}
