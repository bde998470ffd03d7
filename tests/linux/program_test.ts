import { assertEquals, assertRejects } from "@std/assert";
import { untilGone } from "../double/other_process.ts";
import { until } from "../double/overlay_rig.ts";
import { findProgram, runProgram } from "../../src/linux/program.ts";

Deno.test("findProgram() finds what an administrator has, and nothing else", () => {
  const found = findProgram("ip") ?? findProgram("iptables");
  assertEquals(found?.startsWith("/"), true);
  assertEquals(findProgram("no-such-program"), undefined);
});

Deno.test("runProgram() hands input over, and gives back what was printed and how it ended", async () => {
  assertEquals(await runProgram("/bin/cat", [], "*filter\nCOMMIT\n"), {
    code: 0,
    stdout: "*filter\nCOMMIT\n",
    stderr: "",
  });
  const { code, stderr } = await runProgram("/bin/cat", ["/nowhere"], "");
  assertEquals([code, stderr], [1, "/bin/cat: /nowhere: No such file or directory\n"]);
});

Deno.test("runProgram() gives nothing of this process's environment away", async () => {
  const { stdout } = await runProgram("/usr/bin/env", [], "");
  assertEquals(stdout.trim().split("\n").map((line) => line.split("=")[0]).sort(), ["LC_ALL", "PATH"]);
});

Deno.test("runProgram() takes it that a program ends before it has read", async () => {
  assertEquals((await runProgram("/bin/true", [], "x".repeat(1 << 20))).code, 0);
  await assertRejects(() => runProgram("/nowhere/program", [], ""), Error);
});

Deno.test("runProgram() ends a program that does not end, even if it heeds no signal, with what it has started", async () => {
  const script = "trap '' TERM; /bin/sleep 1000 & echo $!; exec /bin/sleep 1000";
  const error = await assertRejects(
    () => runProgram("/bin/sh", ["-c", script], "", { deadlineMs: 300 }),
    Error,
    "Cannot run /bin/sh: it did not end within 0.3 s",
  );
  assertEquals(error.name, "Error");
});

Deno.test("runProgram() waits for no process that a program has started and left, and ends it", async () => {
  const { code, stdout } = await runProgram("/bin/sh", ["-c", "/bin/sleep 1000 & echo $!"], "", {
    graceMs: 100,
  });
  assertEquals(code, 0);
  await until("see it gone", async () => {
    const status = await Deno.readTextFile(`/proc/${stdout.trim()}/status`).catch(() => "State:\tZ");
    return /State:\s+Z/.test(status) || undefined;
  });
});

Deno.test("runProgram() keeps no more than it is told of what a program prints", async () => {
  await assertRejects(
    () => runProgram("/bin/sh", ["-c", "/usr/bin/head -c 100000 /dev/zero"], "", { outputBytes: 65_536 }),
    Error,
    "Cannot run /bin/sh: it printed more than 65536 bytes",
  );
  const { code, stderr } = await runProgram("/bin/sh", [
    "-c",
    "/usr/bin/head -c 1000000 /dev/zero >&2; exit 3",
  ], "");
  assertEquals([code, stderr.length], [3, 65_536]);
});

Deno.test("runProgram() leaves nothing running when its process is killed", async () => {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-program-" });
  try {
    const script = "/bin/sleep 1000 & echo $! $$ >$0.new; /bin/mv $0.new $0; exec /bin/sleep 1000";
    const module = new URL("../../src/linux/program.ts", import.meta.url).href;
    const code = `import { runProgram } from ${JSON.stringify(module)};
      await runProgram("/bin/sh", ["-c", ${
      JSON.stringify(script)
    }, "${folder}/pids"], "", { deadlineMs: 100_000 });`;
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-check",
        "--no-config",
        `data:application/typescript,${encodeURIComponent(code)}`,
      ],
      stdin: "null",
    }).spawn();
    const pids = await until(
      "see the program run",
      () => Deno.readTextFile(`${folder}/pids`).catch(() => undefined),
    );
    child.kill("SIGKILL");
    await child.status;
    await untilGone(pids.trim().split(" ").map(Number));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
