const ROOT = new URL("../../", import.meta.url).pathname;

/** Runs a text as a test file of its own, below `folder`, and returns what Deno said of it. */
export async function runTestFile(
  folder: string,
  text: string,
  ...args: readonly string[]
): Promise<{ readonly isPassed: boolean; readonly said: string }> {
  const path = `${folder}/made_test.ts`;
  await Deno.writeTextFile(path, text);
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", "--no-check", `--config=${ROOT}deno.json`, path, "--", ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { isPassed: success, said: decoder.decode(stdout) + decoder.decode(stderr) };
}
