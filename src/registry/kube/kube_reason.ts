import { errorText } from "../../log/error_text.ts";
import { ConnectionError } from "../http/connection_error.ts";
import { RegistryError } from "../registry_error.ts";
import { KubeError } from "./kube_client.ts";

/** Says what was asked when the API server refuses or does not answer. */
export async function explained<T>(action: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof KubeError || error instanceof ConnectionError) throw explain(action, error);
    throw error;
  }
}

/** What a person can do about a refusal of the API server. */
export function explain(action: string, error: unknown): RegistryError {
  if (!(error instanceof KubeError)) return new RegistryError(action, reasonOf(error));
  const advice: Record<number, string> = {
    401: "its token or certificate is not accepted there; is it of this cluster, and still valid?",
    403: "give the service account get, list and watch on nodes, patch on nodes/status, and get on pods",
    404: "NODE_NAME must be a node's name as kubectl get nodes prints it, and the node must be registered",
    429: "it has too much to do",
  };
  const what = advice[error.status];
  return new RegistryError(
    action,
    `the API server answers: ${error.message}${what === undefined ? "" : `; ${what}`}`,
  );
}

/** An error as a sentence. */
export function reasonOf(error: unknown): string {
  return errorText(error);
}
