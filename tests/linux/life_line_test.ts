import { assertEquals } from "@std/assert";
import { isRunning, untilGone } from "../double/other_process.ts";

const MODULE = new URL("../../src/linux/life_line.ts", import.meta.url).href;
/** Starts a shell that starts another program, ties them, says who they are, and then does this. */
const program = (then: string) =>
  `import { LifeLine } from ${JSON.stringify(MODULE)};
  const line = LifeLine.open();
  const started = new Deno.Command("sh", {
    args: ["-c", "sleep 1000 & echo $! $$; exec sleep 1000"], detached: true, stdin: "null", stdout: "piped",
  }).spawn();
  line.tie(started.pid);
  const { value } = await started.stdout.getReader().read();
  await Deno.stdout.write(value);
  ${then}`;

async function start(then: string): Promise<{ readonly child: Deno.ChildProcess; readonly pids: number[] }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      "--no-config",
      `data:application/typescript,${encodeURIComponent(program(then))}`,
    ],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return { child, pids: new TextDecoder().decode(value).trim().split(" ").map(Number) };
}

const ends: [how: string, then: string, end: (child: Deno.ChildProcess) => void][] = [
  ["is killed", "await new Promise(() => setInterval(() => {}, 1000));", (child) => child.kill("SIGKILL")],
  [
    "is told to end",
    "await new Promise(() => setInterval(() => {}, 1000));",
    (child) => child.kill("SIGTERM"),
  ],
  ["exits", "Deno.exit(0);", () => {}],
];
for (const [how, then, end] of ends) {
  Deno.test(`a process group ends with the process that it is tied to, when that ${how}`, async () => {
    const { child, pids } = await start(then);
    assertEquals(pids.length, 2);
    end(child);
    await child.status;
    await untilGone(pids);
  });
}

Deno.test("a process group lives on when its line is cut before the process ends", async () => {
  const { child, pids } = await start("line[Symbol.dispose](); Deno.exit(0);");
  try {
    await child.status;
    assertEquals(pids.map(isRunning), [true, true]);
  } finally {
    for (const pid of pids) Deno.kill(pid, "SIGKILL");
  }
});

Deno.test("a line that is cut takes no signal to a process that is tied to another", async () => {
  const { child, pids } = await start(
    "const other = LifeLine.open(); other.tie(started.pid); other[Symbol.dispose](); Deno.exit(0);",
  );
  await child.status;
  await untilGone(pids);
});
