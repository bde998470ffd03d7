/** A server could not be asked: it is away, or not who it should be. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
}

/** What a server is to be asked with can't be used; it was not asked. */
export class CertificateError extends ConnectionError {}
