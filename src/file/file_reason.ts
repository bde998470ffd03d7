/** Why a file or folder cannot be used, in words for a person; the system's own where there are none here. */
export function fileReason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file or folder";
  if (error instanceof Deno.errors.IsADirectory) return "it is a folder";
  if (error instanceof Deno.errors.NotADirectory || error instanceof Deno.errors.AlreadyExists) {
    return "a part of its path is not a folder";
  }
  if (error instanceof Deno.errors.PermissionDenied) return "this user may not";
  // Deno opens devices and the kernel's files only for a program that may do everything.
  if (error instanceof Deno.errors.NotCapable) return "loden is built without the right to use it";
  if (!(error instanceof Error)) return String(error);
  // Deno puts the call and its arguments behind the system's words.
  return error.message.replace(/: \w+ '.*$/s, "");
}
