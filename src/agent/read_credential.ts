import { readText } from "../file/read_text.ts";
import type { PatientFiles } from "./patient_files.ts";

/** A larger file is no kubeconfig, token, key, certificate or list of authorities. */
const MAX_BYTES = 1024 * 1024;

/** Reads such a file, off the main thread: it may be on a file system that hangs. */
export function credentialReader(files: PatientFiles): typeof readCredential {
  return (path) => files.read(path, MAX_BYTES);
}

/** Reads a file that registries are reached by; rejects with what it is where that is no regular file. */
export function readCredential(path: string): Promise<string> {
  return Promise.try(() => readText(path, MAX_BYTES));
}
