import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { currentKubeAssets, firstFault, readWanted } from "../../.ci/kube_current.ts";

const GO_MOD = new URL("../../.ci/kube/go.mod", import.meta.url);

Deno.test("one version of Kubernetes is asked for, and all that is published beside it in the same", async () => {
  const text = await Deno.readTextFile(GO_MOD);
  const { version } = readWanted(text);
  const [, minor, patch] = version.split(".");
  const beside = [...text.matchAll(/^\t(k8s\.io\/\S+) => (\S+) (\S+)$/gm)];
  assertEquals(beside.filter(([, name, other, at]) => name !== other || at !== `v0.${minor}.${patch}`), []);
  const others = [...text.matchAll(/^\t(k8s\.io\/\S+) v0\.0\.0(?: |$)/gm)].map(([, name]) => name);
  assertEquals(others.filter((name) => !beside.some(([, replaced]) => replaced === name)), []);
});

Deno.test("readWanted() refuses a file that names no version", () => {
  assertThrows(
    () => readWanted("module x\n\ngo 1.26.0\n"),
    Error,
    "it names no version of Kubernetes or of Go",
  );
});

Deno.test("firstFault() finds the line that matters among Go's", () => {
  const text =
    "go: downloading k8s.io/api v0.36.3\ngo: k8s.io/api@v0.36.3: dial tcp: no route to host\nmore\n";
  assertEquals(firstFault(text), "go: k8s.io/api@v0.36.3: dial tcp: no route to host");
  assertEquals(firstFault(""), "Go says nothing about it");
});

const refusals: [why: string, script: string | undefined, says: RegExp][] = [
  [
    "Go is missing",
    undefined,
    /^Cannot build kube-apiserver 1\.\d+\.\d+: there is no program \S+; it takes Go 1\.26 .*$/,
  ],
  [
    "Go is old",
    `echo go1.19.8`,
    /^Cannot build kube-apiserver \S+: \S+ is go1\.19\.8; it takes Go 1\.26 .*$/,
  ],
  [
    "the proxy does not answer",
    `[ "$1" = build ] || { echo go1.26.0; exit; }; echo "go: downloading a
go: a: dial tcp: lookup proxy" >&2; exit 1`,
    /^Cannot build kube-apiserver \S+: go: a: dial tcp: lookup proxy; .* the Go module proxy that GOPROXY names$/,
  ],
];

for (const [why, script, says] of refusals) {
  Deno.test(`a current kube-apiserver can't be built when ${why}, which is said in one line`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "loden-kube-" });
    try {
      const go = `${folder}/go`;
      if (script !== undefined) await Deno.writeTextFile(go, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      const error = await assertRejects(() => currentKubeAssets(go, () => `${folder}/cache/program`), Error);
      assertEquals(says.test(error.message), true, error.message);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
