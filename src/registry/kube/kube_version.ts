/** A server's versions are numbers, and most are short of 2^53; what else there is can't be compared. */
const COMPARABLE = /^\d{1,15}$/;

/** A version as a number; `undefined` if it can't be compared. */
export function versionNumber(version: string | undefined): number | undefined {
  return version !== undefined && COMPARABLE.test(version) ? Number(version) : undefined;
}

/** Whether a version is older than another, as far as that can be told. */
export function isOlder(version: string, than: string | undefined): boolean {
  const [a, b] = [versionNumber(version), versionNumber(than)];
  return a !== undefined && b !== undefined && a < b;
}
