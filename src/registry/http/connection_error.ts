/** A server could not be asked: it is away, or not who it should be. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
}
