/** The command line or the environment asks for something that cannot be: a person must change it. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
