import { readText } from "../file/read_text.ts";
import { fileReason } from "../file/file_reason.ts";
import { writeIfOther } from "../file/write_if_other.ts";
import type { Prefix } from "../model/address.ts";
import { namedSubnets } from "./subnet_env.ts";

/** The subnet file can't be written. */
export class SubnetFileError extends Error {
  override readonly name = "SubnetFileError";

  constructor(readonly path: string, readonly reason: string) {
    super(
      `Cannot write the subnet file ${path}: ${reason}; make it writable, or name another with -subnet-file`,
    );
  }
}

/** A larger file is not a subnet file. */
export const MAX_SUBNET_FILE_BYTES = 64 * 1024;

/** Who asks for the host's subnet may be any program, as with flannel. */
const MODE = 0o644;

/** The subnets that this host held when it last ran: it gets them again where no other host has them. */
export function previousSubnets(path: string): readonly Prefix[] {
  try {
    return namedSubnets(readText(path, MAX_SUBNET_FILE_BYTES));
  } catch {
    return [];
  }
}

/**
 * Writes the file so that a reader sees the old or the new one, never a part of it. Permission bits of a file that
 * is there are kept, and one that says the same already is left alone, so that this can be asked after each pass.
 *
 * @returns Whether it was written.
 * @throws {SubnetFileError} If it can't be written; nothing is left behind.
 */
export function writeSubnetFile(path: string, text: string): boolean {
  try {
    return writeIfOther(path, text, MODE);
  } catch (error) {
    throw new SubnetFileError(path, fileReason(error));
  }
}
