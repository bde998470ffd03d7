import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { pathExists } from "../../src/lab/command.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { within } from "../../src/loop/pause.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { mountHungDisk } from "../double/hung_disk.ts";
import { httpGet } from "../double/overlay_http.ts";
import { agentCommand, hostsOf, until, untilReady, withOverlay } from "../double/overlay_rig.ts";

/** What a pipe of pipe(7) holds, unless told. */
const PIPE_BYTES = 64 * 1024;
/** From SIGTERM to the end: half a second of it is for the log to be read. */
const END_MS = 3000;
/** The agent looks once a second whether its log is still there, when it has something to log. */
const LOG_EVERY_MS = 700;

/** The agent with its log on standard error, into what is at a path, whatever `-log-file` says. */
const onStandardError = (path: string): readonly string[] => [
  "sh",
  "-c",
  'n=$#; while [ $n -gt 0 ]; do case $1 in -log-file=*) ;; *) set -- "$@" "$1" ;; esac; shift; n=$((n - 1)); done; ' +
  `exec "$@" 2>>"${path}"`,
  "sh",
  ...agentCommand,
];

/** A configuration that the agent has more warnings about than its queue holds, one line each. */
function doubtfulConfig(): string {
  const typos = Array.from({ length: 4000 }, (_, at) => [`VNI${String.fromCodePoint(0x4e00 + at)}`, 1]);
  return JSON.stringify({
    Network: "10.244.0.0/16",
    Backend: { Type: "vxlan", ...Object.fromEntries(typos) },
  });
}

async function untilRepaired({ netns }: LabHost): Promise<void> {
  await netns.mustExec("ip", "link", "set", "flannel.1", "down");
  await until("see the link up again", async () => {
    return (await netns.mustExec("ip", "link", "show", "flannel.1")).includes(",UP") || undefined;
  });
}

async function readyz(libc: Libc, { netns }: LabHost): Promise<string> {
  return (await httpGet(libc, netns, "/readyz"))?.body ?? "nobody listens";
}

const logs: readonly (readonly [name: string, where: string, isFile: boolean])[] = [
  ["standard error", "standard error", false],
  ["a FIFO as -log-file", "the log file", true],
];

for (const [name, where, isFile] of logs) {
  Deno.test(`an agent whose log nobody reads does its work, and says later how much is missing: ${name}`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "loden-log-" });
    const path = `${folder}/log`;
    await new Deno.Command("mkfifo", { args: [path] }).output();
    // For both, so that nobody waits for the other end; what is in it stays unread.
    using pipe = await Deno.open(path, { read: true, write: true });
    assertEquals(pipe.writeSync(new TextEncoder().encode(`${"x".repeat(PIPE_BYTES - 1)}\n`)), PIPE_BYTES);
    const command = isFile ? agentCommand : onStandardError(path);
    try {
      await withOverlay({ hosts: 1, withAgents: false, agentCommand: command }, async (lab, libc) => {
        const [host] = hostsOf(lab);
        if (isFile) await Deno.symlink(path, host.logPath);
        try {
          const config = `${host.directory}/net-conf.json`;
          await Deno.writeTextFile(config, doubtfulConfig());
          const agent = host.startAgent([`-net-config-path=${config}`]);
          await untilReady(libc, host);
          await untilRepaired(host);
          const lost = `lines of the log to ${where}`;
          assertStringIncludes(await readyz(libc, host), lost);
          await untilRepaired(host);
          const metrics = (await httpGet(libc, host.netns, "/metrics"))!.body;
          assert(Number(/^loden_log_lost_lines_total (\d+)$/m.exec(metrics)![1]) > 0);
          // Somebody reads.
          let text = "";
          let isOver = false;
          const reading = (async () => {
            using reader = await Deno.open(path);
            const decoder = new TextDecoder();
            const bytes = new Uint8Array(PIPE_BYTES);
            while (!isOver) {
              text += decoder.decode(bytes.subarray(0, (await reader.read(bytes))!), { stream: true });
            }
          })();
          await until(
            "read how many lines are missing",
            () => text.includes('"log lines lost"') || undefined,
          );
          await until("hear that none is lost", async () => {
            return !(await readyz(libc, host)).includes(lost) || undefined;
          });
          await untilRepaired(host);
          const { status, durationMs } = await host.stopAgent();
          assertEquals(status.code, 0);
          assertLess(durationMs, END_MS);
          await until("read the end", () => text.includes("agent ended") || undefined);
          for (const line of text.split("\n").slice(1, -1)) JSON.parse(line);
          assertEquals(agent.end?.code, 0);
          isOver = true;
          // The last read waits, as this end of the pipe is open.
          await pipe.write(new Uint8Array(1));
          await reading;
        } finally {
          // Who fails reads the log, which has no end here.
          if (isFile) await Deno.remove(host.logPath);
        }
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("an agent whose log nobody reads ends soon when it is asked to", async () => {
  const folder = await Deno.makeTempDir({ prefix: "loden-log-" });
  try {
    const path = `${folder}/log`;
    await new Deno.Command("mkfifo", { args: [path] }).output();
    using pipe = await Deno.open(path, { read: true, write: true });
    pipe.writeSync(new TextEncoder().encode("x".repeat(PIPE_BYTES)));
    const command = onStandardError(path);
    await withOverlay({ hosts: 1, withAgents: false, agentCommand: command }, async (lab, libc) => {
      const [host] = hostsOf(lab);
      host.startAgent();
      await untilReady(libc, host);
      const { status, durationMs } = await host.stopAgent();
      assertEquals([status.code, status.signal], [0, null]);
      assertLess(durationMs, END_MS);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Has something logged, not so often that it is taken for a fight, until a thread waits for the disk, and once more. */
async function untilOneHangs(host: LabHost, pid: number): Promise<void> {
  let loggedAtMs = -Infinity;
  await until("see a thread that waits", async () => {
    if (performance.now() - loggedAtMs > LOG_EVERY_MS) {
      await untilRepaired(host);
      loggedAtMs = performance.now();
    }
    for await (const { name } of Deno.readDir(`/proc/${pid}/task`)) {
      const where = await Deno.readTextFile(`/proc/${pid}/task/${name}/wchan`).catch(() => "");
      if (where.includes("fuse")) return true;
    }
  });
  await untilRepaired(host);
}

Deno.test("an agent whose log is on a disk that hangs does its work, and ends soon when it is asked to", async () => {
  const folder = await Deno.makeTempDir({ prefix: "loden-log-" });
  try {
    await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
      const [host] = hostsOf(lab);
      await Deno.writeTextFile(`${folder}/agent.log`, "");
      await Deno.symlink(`${folder}/agent.log`, host.logPath);
      const agent = host.startAgent();
      await untilReady(libc, host);
      {
        await using _hung = await mountHungDisk(folder, agent.pid);
        await untilOneHangs(host, agent.pid);
        assertStringIncludes(await readyz(libc, host), "flanneld is ready");
      }
      await untilRepaired(host);
      await using _again = await mountHungDisk(folder, agent.pid);
      await untilOneHangs(host, agent.pid);
      const { status, durationMs } = await host.stopAgent();
      assertEquals([status.code, status.signal], [0, null]);
      assertLess(durationMs, END_MS);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an agent whose net-conf.json is on a disk that hangs goes on, says so, and one that starts ends with a sentence", async () => {
  await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
    const [host] = hostsOf(lab);
    const folder = `${host.directory}/config`;
    await Deno.mkdir(folder);
    await Deno.writeTextFile(
      `${folder}/net-conf.json`,
      '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}',
    );
    const flags = [`-net-config-path=${folder}/net-conf.json`];
    const agent = host.startAgent(flags);
    await untilReady(libc, host);
    const says = `it was not read within 5 s; see whether the file system that it is on hangs`;
    {
      await using _hung = await mountHungDisk(folder, agent.pid);
      await until("hear of it", async () => (await readyz(libc, host)).includes(says) || undefined);
      await untilRepaired(host);
    }
    await until("hear that it is over", async () => !(await readyz(libc, host)).includes(says) || undefined);
    await host.stopAgent();
    await using _hung = await mountHungDisk(folder, Deno.pid);
    const { status } = await within(host.startAgent(flags).ended.then((status) => ({ status })), 20_000) ??
      {};
    assertEquals(status?.code, 1);
    assertStringIncludes((await host.logLines()).at(-1)!, says);
  });
});

/** What flanneld, as any program of Go that asks for SIGINT and SIGTERM alone, goes on after. */
const ignored: readonly Deno.Signal[] = [
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGVTALRM",
  "SIGPROF",
  "SIGIO",
  "SIGPWR",
  "SIGXCPU",
  "SIGXFSZ",
  "SIGPIPE",
  "SIGWINCH",
  "SIGURG",
  "SIGCHLD",
  "SIGCONT",
];

Deno.test("an agent goes on after each signal that means nothing to it", async () => {
  await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
    const [host] = hostsOf(lab);
    const agent = host.startAgent();
    await untilReady(libc, host);
    for (const name of ignored) {
      for (let at = 0; at < 3; at++) agent.signal(name);
      await untilRepaired(host);
      assertEquals(agent.end, undefined, name);
    }
    const said = (await host.logLines()).filter((line) => line.includes("signal ignored"));
    assertStringIncludes(said.join("\n"), '"signal":"SIGUSR1"');
    assertEquals(said.length, 9);
  });
});

for (const name of ["SIGHUP", "SIGINT", "SIGTERM"] as const) {
  Deno.test(`an agent ends well after ${name}`, async () => {
    await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
      const [host] = hostsOf(lab);
      host.startAgent();
      await untilReady(libc, host);
      const { status, durationMs } = await host.stopAgent(name);
      assertEquals([status.code, status.signal], [0, null]);
      assertLess(durationMs, END_MS);
    });
  });
}

/** What can be in the place of the subnet file, and what the host says then. */
const places: readonly {
  readonly what: string;
  readonly make: (path: string) => Promise<unknown>;
  /** As the process sees it, which has a mount namespace of its own. */
  readonly mend: (path: string, pid: number) => Promise<unknown>;
  readonly says?: string;
}[] = [
  {
    what: "a FIFO",
    make: (path) => new Deno.Command("mkfifo", { args: [path] }).output(),
    mend: async () => {},
  },
  {
    what: "a folder",
    make: (path) => Deno.mkdir(path),
    mend: (path) => Deno.remove(path),
    says: "it is a folder",
  },
  {
    what: "a file system that is read-only",
    make: async (path) => {
      await run("mount", "-t", "tmpfs", "none", folderOf(path));
      await run("mount", "-o", "remount,ro", folderOf(path));
    },
    mend: (path, pid) => run("nsenter", "-m", "-t", `${pid}`, "mount", "-o", "remount,rw", folderOf(path)),
    says: "its file system is read-only",
  },
];

const folderOf = (path: string) => path.slice(0, path.lastIndexOf("/"));

async function run(command: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

for (const { what, make, mend, says } of places) {
  Deno.test(`an agent starts with ${what} in the place of the subnet file, says so, and writes it when it can`, async () => {
    await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
      const [host] = hostsOf(lab);
      const path = `${host.directory}/run/subnet.env`;
      await Deno.mkdir(folderOf(path));
      try {
        await make(path);
        const agent = host.startAgent([`-subnet-file=${path}`]);
        if (says !== undefined) {
          await until("hear of it", async () => (await readyz(libc, host)).includes(says) || undefined);
          assertStringIncludes(await readyz(libc, host), `Cannot write the subnet file ${path}: `);
          // The overlay is there all the same.
          await untilRepaired(host);
        }
        await mend(path, agent.pid);
        // That a file system can be written again is no event: the next pass sees it.
        if (says !== undefined) await untilRepaired(host);
        await untilReady(libc, host);
        assertEquals((await Deno.stat(path)).isFile, true);
        assertEquals(agent.end, undefined);
        await host.stopAgent();
      } finally {
        if (await pathExists(folderOf(path))) {
          await new Deno.Command("umount", { args: ["-l", folderOf(path)], stderr: "null" }).output();
        }
      }
    });
  });
}
