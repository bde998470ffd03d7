import { errorText } from "../log/error_text.ts";
import { escapedIn } from "../log/printable.ts";

/**
 * What a CNI error says went wrong.
 *
 * Source: CNI specification 1.1.0, section "Error"; `invalidNetns` is of its Go library.
 */
export const CNI_CODE = {
  incompatibleVersion: 1,
  invalidEnvironment: 4,
  ioFailure: 5,
  undecodable: 6,
  invalidConfig: 7,
  invalidNetns: 8,
  tryAgainLater: 11,
  notAvailable: 50,
  /** The first code that is a plugin's own: the subnet file is there and can't be used. */
  badSubnetFile: 100,
  internal: 999,
} as const;

/** A failure as a container runtime is told it: `code` is one of {@linkcode CNI_CODE}, or a delegate's own. */
export class CniError extends Error {
  override readonly name = "CniError";

  /**
   * @param message What went wrong; runtimes put it into events.
   * @param details More for a person: runtimes append it to the message.
   */
  constructor(readonly code: number, message: string, readonly details?: string) {
    super(message);
  }
}

/** The one JSON document that a plugin that failed prints, with the version of the request. */
export function formatCniError(error: unknown, cniVersion: string): string {
  const { code, message, details } = error instanceof CniError
    ? error
    : new CniError(CNI_CODE.internal, errorText(error));
  // A delegate's words, or the agent's, end in events and on terminals.
  const document = escapedIn({ cniVersion, code, msg: message, ...details !== undefined && { details } });
  return `${JSON.stringify(document, undefined, 4)}\n`;
}
