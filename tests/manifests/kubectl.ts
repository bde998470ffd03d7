import { type KubeObject, parseObjects } from "./objects.ts";
import type { TestApiServer } from "../double/api_server.ts";

/**
 * Runs kubectl(1), by default without a server, and returns what it prints.
 *
 * @throws {Error} If it fails, in its own words.
 */
export async function kubectl(args: readonly string[], server?: TestApiServer): Promise<string> {
  const home = await Deno.makeTempDir({ prefix: "loden-kubectl-" });
  const access = server === undefined ? [] : [
    `--server=${server.url}`,
    `--certificate-authority=${server.caFile}`,
    `--token=${server.tokens.admin}`,
  ];
  try {
    const { success, stdout, stderr } = await new Deno.Command("kubectl", {
      args: [...args, ...access],
      env: { HOME: home, KUBECONFIG: "/dev/null" },
      stdin: "null",
    }).output();
    const [said, warned] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)) as [
      string,
      string,
    ];
    if (success) return said;
    throw new Error(`Cannot run kubectl ${args.join(" ")}: ${warned}${said}`.trim());
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

/** The objects that kubectl makes of a kustomization. */
export async function kustomize(folder: string): Promise<KubeObject[]> {
  return parseObjects(await kubectl(["kustomize", folder]));
}
