import { assert, assertEquals, assertMatch } from "@std/assert";
import { isInstalled } from "../../src/lab/command.ts";
import { netnsNames, ownerOfNetns } from "../../src/lab/names.ts";

const here = (path: string) => new URL(path, import.meta.url).pathname;
const overlay = ["sh", here("../lab/fake_overlay.sh")];
const searchPath = Deno.env.get("PATH") ?? "";

/** Runs the lab as a process of its own, its folder in `TMPDIR`, and checks that nothing is left of it. */
async function runDemo(
  flags: string[],
  agentCommand: string[],
  options: { env?: Record<string, string>; onLine?: (line: string, child: Deno.ChildProcess) => void } = {},
): Promise<{ code: number; lines: string[] }> {
  const directory = await Deno.makeTempDir();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--quiet", here("../lab/run_lab.ts"), ...flags, "--", ...agentCommand],
    env: { TMPDIR: directory, ...options.env },
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const lines: string[] = [];
  let rest = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    for (const line of parts) {
      lines.push(line);
      options.onLine?.(line, child);
    }
  }
  const { code } = await child.status;
  assertEquals(await Array.fromAsync(Deno.readDir(directory)), []);
  await Deno.remove(directory);
  assertEquals((await netnsNames()).filter((name) => ownerOfNetns(name) === child.pid), []);
  return { code, lines };
}

/** A folder that has the programs a lab needs, and not iperf3. */
async function withoutIperf(run: (searchPath: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const name of ["ip", "ping", "sh", "sed", "mv", "sleep", "bridge"]) {
      const folders = searchPath.split(":");
      const found = (await Promise.all(folders.map((folder) => isInstalled(name, folder)))).indexOf(true);
      await Deno.symlink(`${folders[found]}/${name}`, `${folder}/${name}`);
    }
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("runLab() measures an IPv6 overlay behind a router and takes it away", async () => {
  const { code, lines } = await runDemo(["-hosts=2", "-routed", "-ipv6"], overlay);
  assertEquals(code, 0, lines.join("\n"));
  const table = lines.slice(lines.indexOf("2 hosts, each in a segment of its own behind a router, IPv6"));
  assertMatch(table[2]!, /^host {2}underlay address {2}subnet +MTU +ms to h1 +ms to h2$/);
  assertMatch(table[3]!, /^h1 +2001:db8:1::2 +fd00:10:244:1::\/64 +1430 +- +[\d.]+$/);
  assertMatch(table[4]!, /^h2 +2001:db8:2::2 +fd00:10:244:2::\/64 +1430 +[\d.]+ +-$/);
  assertMatch(
    table[6]!,
    /^the overlay formed in [\d.]+ s, .*; all 2 directions answered after [\d.]+ s$/,
  );
  assertMatch(table[7]!, /^throughput: ([\d.]+ [GMk]bit\/s from h1 to h2|not measured: iperf3 is not)/);
  assertEquals(table.slice(8), ["taking the lab away", "nothing left behind"]);
});

Deno.test("runLab() fails when a pod is not reached, and shows the logs of the hosts", async () => {
  await withoutIperf(async (PATH) => {
    const { code, lines } = await runDemo(["-hosts=3"], overlay, { env: { LOST: "3", PATH } });
    assertEquals(code, 1, lines.join("\n"));
    for (
      const line of [
        "throughput: not measured: iperf3 is not installed",
        "the pod of h2 does not reach the pod of h3 (10.244.3.2): 5 of 5 pings were lost",
        "The last log lines of the agent of h3:",
        '  {"event":"overlay made"}',
        "nothing left behind",
      ]
    ) assert(lines.includes(line), `${line}\nis not among\n${lines.join("\n")}`);
    assert(lines.some((line) => line.includes("; 2 of 6 directions answered after ")));
  });
});

Deno.test("runLab() ends at SIGTERM while it waits for an agent that does nothing", async () => {
  const onLine = (line: string, child: Deno.ChildProcess) => {
    if (line === "waiting for subnets: 0 of 3") child.kill("SIGTERM");
  };
  const { code, lines } = await runDemo([], ["sleep", "600"], { onLine });
  assertEquals(lines.slice(-2), ["interrupted", "nothing left behind"]);
  assertEquals(code, 1);
});

Deno.test("runLab() keeps the hosts with -keep until SIGINT, and has then succeeded", async () => {
  await withoutIperf(async (PATH) => {
    let directions = "";
    const onLine = (line: string, child: Deno.ChildProcess) => {
      if (line.startsWith("in a pod:")) directions = line;
      if (line === "Ctrl-C ends the lab") child.kill("SIGINT");
    };
    const { code, lines } = await runDemo(["-hosts=2", "-keep"], overlay, { onLine, env: { PATH } });
    assertMatch(directions, /ip netns exec loden\d+-h1-p1 ping 10\.244\.2\.2$/);
    assertEquals(lines.at(-1), "nothing left behind");
    assertEquals(code, 0);
  });
});
