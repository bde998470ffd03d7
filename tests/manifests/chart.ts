import { type KubeObject, manifestPath, parseObjects } from "./objects.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const RENDERER = `${ROOT}build/render-chart`;
const SOURCE = new URL("render.go", import.meta.url).pathname;
/** Debian's compiler, and the sources of Debian's libraries. */
const COMPILER = "/usr/lib/go-1.19/bin/go";
const LIBRARIES = "/usr/share/gocode";

/** What an installation says besides values. */
export interface Release {
  readonly Name: string;
  readonly Namespace: string;
}

export const RELEASE: Release = { Name: "flannel", Namespace: "kube-flannel" };
let built: Promise<void> | undefined;

/**
 * Renders the chart as Helm does: text by file.
 *
 * @param chart The chart's folder.
 * @throws {Error} What the chart says against the values.
 */
export async function renderFiles(
  values: unknown,
  release = RELEASE,
  chart = manifestPath("chart"),
): Promise<Record<string, string>> {
  await (built ??= build());
  return JSON.parse(
    await output(RENDERER, [chart], { input: JSON.stringify({ values, release }) }),
  );
}

/** The objects that the chart makes of values. */
export async function renderObjects(
  values: unknown = {},
  release = RELEASE,
  chart?: string,
): Promise<KubeObject[]> {
  const { "NOTES.txt": _, ...files } = await renderFiles(values, release, chart);
  return Object.values(files).flatMap(parseObjects);
}

async function build(): Promise<void> {
  await output(COMPILER, ["build", "-o", RENDERER, SOURCE], {
    env: { GO111MODULE: "off", GOPATH: LIBRARIES, CGO_ENABLED: "0" },
  });
}

async function output(
  program: string,
  args: readonly string[],
  { input = "", env = {} }: { readonly input?: string; readonly env?: Record<string, string> },
): Promise<string> {
  const command = new Deno.Command(program, {
    args: [...args],
    env,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  });
  const child = command.spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  if (!success) throw new Error(`Cannot run ${program}: ${new TextDecoder().decode(stderr).trim()}`);
  return new TextDecoder().decode(stdout);
}
