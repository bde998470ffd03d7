import { HttpDoor } from "../../../src/registry/http/http_door.ts";

/** Asks once with the files that the arguments name, and prints what comes of it: a process that can be ended. */
if (import.meta.main) {
  const [url, caFile, certFile, keyFile] = Deno.args as [string, string, string?, string?];
  using door = new HttpDoor({ readTextFile: (path) => Deno.readTextFile(path) }, {
    files: { caFile, ...certFile && { certFile }, ...keyFile && { keyFile } },
  });
  let said: string;
  try {
    const response = await door.fetch(url, { signal: new AbortController().signal });
    await response.body?.cancel();
    said = `status ${response.status}`;
  } catch (error) {
    said = `${(error as Error).name}: ${(error as Error).message}`;
  }
  await Deno.stdout.write(new TextEncoder().encode(said));
}
