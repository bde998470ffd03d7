import { assertEquals } from "@std/assert";
import { PERMISSIONS } from "../../.ci/compile.ts";
import { until } from "../double/overlay_rig.ts";
import { commandOf } from "../../src/command/command_of.ts";

const commands: [args: string[], calledAs: string, command: string[], why: string][] = [
  [[], "loden", ["help"], "nothing is asked for"],
  [["agent", "-iface=eth0"], "loden", ["agent", "-iface=eth0"], "a command is named"],
  [["-iface=eth0"], "loden", ["agent", "-iface=eth0"], "flannel's flags come without a command"],
  [["--kube-subnet-mgr"], "loden", ["agent", "--kube-subnet-mgr"], "two dashes are flags, too"],
  [[], "flanneld", ["agent"], "the file is called flanneld"],
  [["-v=1"], "flanneld", ["agent", "-v=1"], "flanneld has no commands"],
  [["status", "--peers"], "kubectl-loden", ["kubectl", "status", "--peers"], "kubectl runs it as its plugin"],
  [["-v=1"], "/opt/bin/flanneld", ["agent", "-v=1"], "it is called with a folder"],
  [["lab", "-hosts=2"], "loden", ["lab", "-hosts=2"], "the lab is asked for"],
];

for (const [args, calledAs, command, why] of commands) {
  Deno.test(`commandOf() runs ${command.join(" ")} when ${why}`, () => {
    assertEquals([...commandOf(args, calledAs)], command);
  });
}

const runs: [args: string[], code: number, stdout: RegExp, stderr: RegExp][] = [
  [["version"], 0, /^\d+\.\d+\.\d+\n$/, /^$/],
  [["help"], 0, /^loden .*Usage:/s, /^$/],
  [["agent", "-version"], 0, /^$/, /^\d+\.\d+\.\d+\n$/],
  [["agent", "-help"], 0, /^Usage: loden.*-iface/s, /^$/],
  [["agent", "help"], 0, /^Usage: loden.*-iface/s, /^$/],
  [["nonsense"], 2, /^$/, /^loden: Cannot run "nonsense": there is no such command; see 'loden help'\n$/],
  [
    ["agent", "-log-file=/dev/full"],
    1,
    /^$/,
    /^loden: Cannot write the log file \/dev\/full: loden is built without the right to use it; leave out -log-file,.*\n$/,
  ],
];

for (const [args, code, stdout, stderr] of runs) {
  Deno.test(`loden ${args.join(" ")} ends with code ${code}`, async () => {
    const mod = new URL("../../mod.ts", import.meta.url).pathname;
    const output = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", ...PERMISSIONS, mod, ...args],
      env: { NO_COLOR: "1" },
    }).output();
    const decoder = new TextDecoder();
    assertEquals(output.code, code);
    assertEquals([decoder.decode(output.stdout), stdout.test(decoder.decode(output.stdout))][1], true);
    assertEquals(stderr.test(decoder.decode(output.stderr)), true, decoder.decode(output.stderr));
  });
}

Deno.test("a command that is asked to end before it is done ends with 1, and says so", async () => {
  // Nobody answers there.
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const server = `http://127.0.0.1:${silent.addr.port}`;
  const mod = new URL("../../mod.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", ...PERMISSIONS, mod, "kubectl", "status", `--server=${server}`],
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  using _connection = await silent.accept();
  child.kill("SIGINT");
  const { code, stdout, stderr } = await child.output();
  const [said, told] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assertEquals([code, said, told], [1, "", "loden: 'kubectl' was asked to end before it was done\n"]);
});

/** Starts `loden help` with its standard output in what is at a path. */
function helpInto(path: string): Deno.ChildProcess {
  const mod = new URL("../../mod.ts", import.meta.url).pathname;
  const words = [Deno.execPath(), "run", "--no-check", ...PERMISSIONS, mod, "help"];
  return new Deno.Command("sh", {
    args: ["-c", 'exec "$@" > "$0"', path, ...words],
    env: { NO_COLOR: "1" },
    stderr: "piped",
  }).spawn();
}

Deno.test("loden help says that its output can't be written", async () => {
  const { code, stderr } = await helpInto("/dev/full").output();
  assertEquals(code, 1);
  assertEquals(
    new TextDecoder().decode(stderr),
    "loden: Cannot write standard output: no space or no inodes are left on its file system; make room there\n",
  );
});

Deno.test("loden help waits for who reads it, and ends when it is asked to", async () => {
  const folder = await Deno.makeTempDir({ prefix: "loden-help-" });
  try {
    const path = `${folder}/fifo`;
    await new Deno.Command("mkfifo", { args: [path] }).output();
    // For both, so that nobody waits for the other end.
    using pipe = await Deno.open(path, { read: true, write: true });
    await pipe.write(new Uint8Array(64 * 1024));
    const child = helpInto(path);
    await until("see a thread that waits", async () => {
      for await (const { name } of Deno.readDir(`/proc/${child.pid}/task`)) {
        const where = await Deno.readTextFile(`/proc/${child.pid}/task/${name}/wchan`).catch(() => "");
        if (where.includes("pipe_write")) return true;
      }
    });
    child.kill("SIGTERM");
    const { code, stderr } = await child.output();
    assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
