import type { DoctorPlace } from "../doctor/place.ts";

/** Names of variables whose values are secrets. */
const SECRET_NAME = /passw|secret|token|key|credential|auth/i;
/** What is shorter is a word, a number or a flag. */
const SHORTEST = 6;
/** A file that a variable or flag names. */
const PATH = /^\//;
/** Of a kubeconfig: what a user shows the server. */
const KUBECONFIG_SECRET =
  /^\s*(?:-\s*)?"?(?:token|password|client-key-data|client-certificate-data|certificate-authority-data)"?\s*:\s*"?([^"\s]+)/gm;
const SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/** The secrets that this host's agent may use, so that they can be looked for in what is collected. */
export async function knownSecrets({ options, environment, files }: DoctorPlace): Promise<string[]> {
  const { registry } = options;
  const secrets = Object.entries(environment)
    .filter(([name, value]) => SECRET_NAME.test(name) && value !== undefined && !PATH.test(value))
    .map(([, value]) => value!);
  const paths = [SERVICE_ACCOUNT_TOKEN];
  if (registry.kind === "etcd") {
    if (registry.user !== undefined) secrets.push(registry.user.password);
    for (const endpoint of registry.endpoints) secrets.push(decodeURIComponent(new URL(endpoint).password));
    if (registry.tls.keyFile !== undefined) paths.push(registry.tls.keyFile);
  }
  const kubeconfigs = [
    ...registry.kind === "kube" && registry.kubeconfigFile !== "" ? [registry.kubeconfigFile] : [],
    ...environment["KUBECONFIG"] ? [environment["KUBECONFIG"]] : [],
  ];
  const read = async (path: string) => await files.readCredential(path).catch(() => "");
  for (const text of await Promise.all(kubeconfigs.map(read))) secrets.push(...kubeconfigSecrets(text));
  for (const text of await Promise.all(paths.map(read))) secrets.push(text.trim());
  return secrets.filter(({ length }) => length >= SHORTEST);
}

/** What a kubeconfig holds, in YAML or JSON, also what it says in base64. */
function kubeconfigSecrets(text: string): string[] {
  const found = [...text.matchAll(KUBECONFIG_SECRET)].map(([, value]) => value!);
  const inJson = [...text.matchAll(/"(?:token|password|client-key-data)"\s*:\s*"([^"]+)"/g)].map((
    [, value],
  ) => value!);
  const all = [...new Set([...found, ...inJson])];
  const decoded = all.flatMap((value) => {
    try {
      return [new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.fromBase64(value))];
    } catch {
      return [];
    }
  });
  return [...all, ...decoded];
}
