import { assertEquals } from "@std/assert";
import { relative } from "node:path";
import { kustomize } from "./kubectl.ts";
import { type DaemonSet, type KubeObject, manifestPath, only, readObjects } from "./objects.ts";

function byName(objects: readonly KubeObject[]): Record<string, KubeObject> {
  return Object.fromEntries(
    objects.map((object) => [`${object.kind} ${object.metadata.name}`, object] as const).sort(),
  );
}

Deno.test("the kustomization is kube-flannel.yml, object by object", async () => {
  assertEquals(
    byName(await kustomize(manifestPath("."))),
    byName(await readObjects("kube-flannel.yml")),
  );
});

Deno.test("an overlay changes the images without a copy of the manifest", async () => {
  const folder = await Deno.makeTempDir({ prefix: "loden-overlay-" });
  try {
    const overlay = {
      apiVersion: "kustomize.config.k8s.io/v1beta1",
      kind: "Kustomization",
      bases: [relative(await Deno.realPath(folder), manifestPath("."))],
      images: [{ name: "ghcr.io/loden/loden", newName: "registry.example/loden", newTag: "v9" }],
    };
    await Deno.writeTextFile(`${folder}/kustomization.yaml`, JSON.stringify(overlay));
    const { spec } = only<DaemonSet>("DaemonSet", await kustomize(folder)).spec.template;
    const images = [...spec!.initContainers!, ...spec!.containers].map(({ image }) => image);
    assertEquals(images, ["registry.example/loden:v9", "registry.example/loden:v9"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
