import { assertEquals } from "@std/assert";
import { type DaemonSet, only, readObjects } from "./objects.ts";

const podOf = async (name: string) =>
  only<DaemonSet>("DaemonSet", await readObjects(name)).spec.template.spec!;
const agents = await podOf("kube-flannel.yml");
const pod = await podOf("hand-back.yml");
const containers = [...pod.initContainers!, ...pod.containers];

Deno.test("hand-back.yml runs on every node that the agent runs on, as it does", () => {
  const { affinity, tolerations, hostNetwork, serviceAccountName, priorityClassName, securityContext } =
    agents;
  for (
    const [key, value] of Object.entries({
      affinity,
      tolerations,
      hostNetwork,
      serviceAccountName,
      priorityClassName,
      securityContext,
    })
  ) {
    assertEquals<unknown>((pod as unknown as Record<string, unknown>)[key], value, key);
  }
});

Deno.test("hand-back.yml sees the host's folders where the agent sees them, with its image and rights", () => {
  const [agent] = agents.containers;
  for (const { image, securityContext, volumeMounts, env, name } of containers) {
    assertEquals(image, agent!.image, name);
    assertEquals(securityContext, agent!.securityContext, name);
    assertEquals(env, agent!.env, name);
    // All but the sysctls, which stay as they are; and the folder of plugins, to see whether flannel's is there.
    const { volumeMounts: [plugins] = [] } = agents.initContainers![0]!;
    const seen = agent!.volumeMounts!.filter(({ name }) => name !== "sysctls");
    const isFirst = (one: { readonly name: string }) => one.name === "run" || one.name === "cni";
    assertEquals(volumeMounts, [
      ...seen.filter(isFirst),
      { ...plugins!, readOnly: true },
      ...seen.filter((one) => !isFirst(one)),
    ], name);
  }
  const paths = ({ volumes }: typeof pod) =>
    new Map(volumes!.map(({ name, hostPath, configMap }) => [name, hostPath?.path ?? configMap?.name]));
  for (const [name, path] of paths(pod)) assertEquals(paths(agents).get(name), path, name);
});

Deno.test("hand-back.yml hands back first, and then says what is left and stays", () => {
  assertEquals(containers.map(({ command }) => command), [
    ["/opt/bin/loden", "hand-back"],
    ["/opt/bin/loden", "hand-back", "--dry-run", "--stay"],
  ]);
});
