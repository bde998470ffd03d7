import { assert, assertEquals, assertMatch } from "@std/assert";
import { parse } from "yaml";
import { VERSION } from "../../src/model/version.ts";
import { RELEASE, renderObjects } from "./chart.ts";
import { type DaemonSet, type KubeObject, only, parseObjects } from "./objects.ts";

interface Step {
  readonly id?: string;
  readonly uses?: string;
  readonly run?: string;
}

interface Workflow {
  readonly on: unknown;
  readonly permissions: unknown;
  readonly jobs: Readonly<
    Record<
      string,
      { readonly permissions: Readonly<Record<string, string>>; readonly steps: readonly Step[] }
    >
  >;
}

const ROOT = new URL("../../", import.meta.url).pathname;
const text = await Deno.readTextFile(`${ROOT}.github/workflows/release.yml`);
const workflow = parse(text) as Workflow;
const steps = Object.values(workflow.jobs).flatMap((job) => job.steps);
const DIGEST = `sha256:${"ab".repeat(32)}`;

/** Runs one step as the runner does, in a folder with copies of files and folders of the repository. */
async function runStep(
  id: string,
  env: Record<string, string>,
  look: (folder: string, result: { readonly isDone: boolean; readonly said: string }) => Promise<void>,
  files: Readonly<Record<string, string>> = {},
): Promise<void> {
  const script = steps.find((step) => step.id === id)!.run!;
  const folder = await Deno.makeTempDir({ prefix: "loden-release-" });
  try {
    const copied = ["manifests", "deno.json", "CHANGELOG.md"].map((name) => ROOT + name);
    await new Deno.Command("cp", { args: ["-r", ...copied, folder] }).output();
    for (const [path, text] of Object.entries(files)) {
      await Deno.mkdir(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${folder}/${path}`, text);
    }
    await Deno.mkdir(`${folder}/build`, { recursive: true });
    const { success, stderr } = await new Deno.Command("bash", {
      args: ["--noprofile", "--norc", "-eo", "pipefail", "-c", script],
      cwd: folder,
      env,
      stdin: "null",
    }).output();
    await look(folder, { isDone: success, said: new TextDecoder().decode(stderr) });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a tag makes a release, and nothing else does", () => {
  assertEquals(workflow.on, { push: { tags: ["v*"] } });
});

const rights: [job: string, written: string[]][] = [
  ["binary", ["attestations", "id-token"]],
  ["image", ["attestations", "id-token", "packages"]],
  ["release", ["attestations", "contents", "id-token"]],
];

Deno.test("a job may write only what it is for", () => {
  assertEquals(workflow.permissions, { contents: "read" });
  const written = Object.entries(workflow.jobs).map(([job, { permissions }]) =>
    [job, Object.keys(permissions).filter((name) => permissions[name] === "write").sort()] as const
  );
  assertEquals<unknown>(written, rights);
});

Deno.test("actions are pinned to a major version or a commit", () => {
  const used = steps.flatMap(({ uses }) => uses === undefined ? [] : [uses]);
  assert(used.length > 0);
  assertEquals(used.filter((name) => !/^[\w-]+\/[\w-]+@(?:v\d+|[0-9a-f]{40})$/.test(name)), []);
});

Deno.test("the tasks and files that a release needs are there", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const scripts = steps.map(({ run = "" }) => run).join("\n");
  const named = [...scripts.matchAll(/\btask ([\w:-]+)/g)].map(([, name]) => name!);
  assertEquals(named, ["compile"]);
  assertEquals(named.filter((name) => !(name in tasks)), []);
  const paths = new Set(scripts.match(/\bmanifests\/[\w./-]+|\bCHANGELOG\.md\b/g));
  assertEquals([...paths].sort(), [
    "CHANGELOG.md",
    ...["Dockerfile", "chart", "hand-back.yml", "kube-flannel.yml", "node-policy.yml", "pod-monitor.yml"].map(
      (name) => `manifests/${name}`,
    ),
  ]);
  for (const path of paths) await Deno.stat(ROOT + path);
});

Deno.test("the image is built with arguments that its Dockerfile has", async () => {
  const dockerfile = await Deno.readTextFile(`${ROOT}manifests/Dockerfile`);
  const names = [...text.matchAll(/--build-arg "(\w+)=/g)].map(([, name]) => name!);
  assertEquals(names, ["BINARY", "VERSION", "REVISION"]);
  for (const name of names) assertMatch(dockerfile, new RegExp(`^ARG ${name}\\b`, "m"));
});

Deno.test("the release's Deno is the one that all tasks are run with", async () => {
  const ci = await Deno.readTextFile(`${ROOT}.ci/run`);
  const version = (text: string) => /deno@([\d.]+)/.exec(text)?.[1];
  assertEquals([version(text), version(ci)], [Deno.version.deno, Deno.version.deno]);
});

Deno.test("the manifest of a release names version and digest of its image", async () => {
  const env = { TAG: "v9.8.7", IMAGE: "ghcr.io/somebody/fork", DIGEST };
  await runStep("pin", env, async (folder, { isDone, said }) => {
    assert(isDone, said);
    const image = `ghcr.io/somebody/fork:v9.8.7@${DIGEST}`;
    const imagesOf = (objects: readonly KubeObject[]) => {
      const { initContainers, containers } = only<DaemonSet>("DaemonSet", objects).spec.template.spec!;
      return [...initContainers!, ...containers].map(({ image }) => image);
    };
    for (const name of ["kube-flannel.yml", "hand-back.yml"]) {
      const manifest = parseObjects(await Deno.readTextFile(`${folder}/release/${name}`));
      assertEquals(imagesOf(manifest), [image, image], name);
    }
    const rendered = await renderObjects({}, RELEASE, `${folder}/build/chart`);
    assertEquals(imagesOf(rendered), [image, image]);
    const chart = parse(await Deno.readTextFile(`${folder}/build/chart/Chart.yaml`)) as Record<
      string,
      unknown
    >;
    assertEquals([chart.version, chart.appVersion], ["9.8.7", "v9.8.7"]);
    const others = ["node-policy.yml", "pod-monitor.yml"];
    for (const name of others) {
      assertEquals(
        await Deno.readTextFile(`${folder}/release/${name}`),
        await Deno.readTextFile(`${ROOT}manifests/${name}`),
      );
    }
  });
});

const tags: [tag: string, isRight: boolean][] = [[`v${VERSION}`, true], [`v${VERSION}9`, false], [
  VERSION,
  false,
]];

for (const [tag, isRight] of tags) {
  Deno.test(`a release of tag ${tag} is ${isRight ? "made" : "refused, as the version is another"}`, async () => {
    await runStep("version", { TAG: tag }, (_folder, { isDone, said }) => {
      assertEquals(isDone, isRight, said);
      if (!isRight) {
        assertMatch(said, new RegExp(`^Cannot release ${tag}: deno.json has version ${VERSION}$`, "m"));
      }
      return Promise.resolve();
    });
  });
}

const changelogs: [why: string, heading: string, notes: string | undefined][] = [
  ["with a date", "## 9.8.7, 2026-12-01", "\nnew\n\n"],
  ["in brackets", "## [9.8.7] - 2026-12-01", "\nnew\n\n"],
  ["alone", "## 9.8.7", "\nnew\n\n"],
  ["that is longer", "## 9.8.71", undefined],
  ["that is missing", "## Unreleased", undefined],
];

for (const [why, heading, notes] of changelogs) {
  const what = notes === undefined ? "no notes, and so no release" : "the notes of a release";
  Deno.test(`a version ${why} in the heading makes ${what}`, async () => {
    const changelog = `# Changelog\n\n${heading}\n\nnew\n\n## 9.8.6, 2026-11-01\n\nold\n`;
    await runStep("notes", { TAG: "v9.8.7" }, async (folder, { isDone, said }) => {
      assertEquals(isDone, notes !== undefined, said);
      if (notes === undefined) {
        return assertMatch(said, /^Cannot release v9\.8\.7: CHANGELOG\.md has no section/m);
      }
      assertEquals(await Deno.readTextFile(`${folder}/build/notes.md`), notes);
    }, { "CHANGELOG.md": changelog });
  });
}

Deno.test("the checksums are of every file of the release", async () => {
  const files = { "release/loden-amd64": "a", "release/kube-flannel.yml": "b" };
  await runStep("checksums", {}, async (folder, { isDone, said }) => {
    assert(isDone, said);
    const lines = (await Deno.readTextFile(`${folder}/release/SHA256SUMS`)).trim().split("\n");
    assertEquals(lines.map((line) => line.split("  ")[1]), ["kube-flannel.yml", "loden-amd64"]);
    assertMatch(lines[1]!, /^ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb /);
  }, files);
});
