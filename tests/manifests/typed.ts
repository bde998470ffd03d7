import type { KubeObject } from "./objects.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/**
 * What is wrong with objects, by TypeScript types of their kinds' names: fields that there are not, that are missing,
 * or of another type. One fault a line, by the order of the objects.
 *
 * @param types.module Where the types are, as the import map names it.
 * @param types.more Declarations that the module lacks.
 */
export async function typeFaults(
  types: { readonly module: string; readonly more?: string },
  objects: readonly KubeObject[],
): Promise<string[]> {
  const folder = await Deno.makeTempDir({ prefix: "loden-types-" });
  try {
    const kinds = [...new Set(objects.map(({ kind }) => kind))];
    const lines = objects.map((object, index) =>
      `export const object${index}: ${object.kind} = ${JSON.stringify(object)};`
    );
    const path = `${folder}/objects.ts`;
    await Deno.writeTextFile(
      path,
      [
        `import type { ${kinds.join(", ")} } from "${types.module}";`,
        `declare module "${types.module}" { ${types.more ?? ""} }`,
        ...lines,
        "",
      ].join("\n"),
    );
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", `--config=${ROOT}deno.json`, "--no-lock", path],
      cwd: ROOT,
      env: { NO_COLOR: "1" },
      stdin: "null",
    }).output();
    if (success) return [];
    const text = new TextDecoder().decode(stderr);
    const faults = text.split("\n\n").filter((part) => /\bTS\d+ /.test(part));
    if (faults.length === 0) throw new Error(`Cannot check the types: ${text}`);
    return faults;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
