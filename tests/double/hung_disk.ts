import { until } from "./overlay_rig.ts";

/** A file system whose server never answers, as NFS when its server is gone: FUSE with nobody behind it. */
const HANG = 'exec 3<>/dev/fuse; mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 hang "$0" && ' +
  "echo mounted && exec sleep 1000";

/**
 * Puts such a file system over a folder, as a process sees it; whoever looks at a path in it waits until it is disposed of,
 * and then finds what was there before.
 */
export async function mountHungDisk(folder: string, pid: number): Promise<AsyncDisposable> {
  const enter = ["-m", "-t", `${pid}`];
  const child = new Deno.Command("nsenter", {
    args: [...enter, "sh", "-c", HANG, folder],
    stdout: "piped",
  }).spawn();
  let said = "";
  const reading = (async () => {
    for await (const chunk of child.stdout) said += new TextDecoder().decode(chunk);
  })();
  await until("see a disk that hangs", () => said.includes("mounted") || undefined);
  return {
    async [Symbol.asyncDispose]() {
      await new Deno.Command("nsenter", { args: [...enter, "umount", "-l", folder], stderr: "null" })
        .output();
      // Who waits is told that there is no server.
      child.kill("SIGKILL");
      await child.status;
      await reading;
    },
  };
}
