import { assertEquals } from "@std/assert";
import { waitUntil } from "../../src/lab/wait.ts";
import { isRunning, untilGone } from "../double/other_process.ts";
import { PluginHost } from "../plugin/plugin_host.ts";

/** An IPAM plugin that says who it and its child are, and hangs, in the verb that the file beside it names. */
const HANGING = `#!/bin/sh
D=$(dirname "$0")
if [ "$CNI_COMMAND" = "$(cat "$D/hangs")" ]; then
  sleep 1000 & echo $! $$ $PPID >"$D/pids.new"; mv "$D/pids.new" "$D/pids"
  exec sleep 1000
fi
[ "$CNI_COMMAND" = ADD ] || exit 0
echo '{"cniVersion":"1.0.0","ips":[{"address":"10.1.17.9/24","gateway":"10.1.17.1"}]}'
`;

async function withHangingIpam(
  verb: string,
  body: (host: PluginHost, start: (verb: string) => Deno.ChildProcess) => Promise<void>,
): Promise<void> {
  await using host = await PluginHost.create();
  await Deno.writeTextFile(`${host.pluginFolder}/lodentest-ipam`, HANGING);
  await Deno.chmod(`${host.pluginFolder}/lodentest-ipam`, 0o755);
  await Deno.writeTextFile(`${host.pluginFolder}/hangs`, verb);
  const { pluginFolders, containerId, netns } = host.sandbox(await host.pod());
  const conf = { name: "cbr0", cniVersion: "1.0.0", ...host.flannel({ ipam: { type: "lodentest-ipam" } }) };
  const start = (verb: string) => {
    const child = new Deno.Command("nsenter", {
      args: [`--net=${host.netns.path}`, `${host.pluginFolder}/flannel`],
      clearEnv: true,
      env: {
        PATH: Deno.env.get("PATH") ?? "",
        CNI_COMMAND: verb,
        CNI_CONTAINERID: containerId,
        CNI_IFNAME: "eth0",
        CNI_NETNS: netns,
        CNI_PATH: pluginFolders.join(":"),
      },
      stdin: "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const writer = child.stdin.getWriter();
    void writer.write(new TextEncoder().encode(JSON.stringify(conf))).then(() => writer.close()).catch(
      () => {},
    );
    return child;
  };
  await body(host, start);
}

/** The IPAM plugin, its child, and `bridge`, which has started it. */
async function hangingPids(host: PluginHost): Promise<number[]> {
  const text = await waitUntil(
    "see the IPAM plugin hang",
    () => Deno.readTextFile(`${host.pluginFolder}/pids`).catch(() => undefined),
    { deadlineMs: 20_000, signal: new AbortController().signal },
  );
  return text.trim().split(" ").map(Number);
}

for (const end of ["SIGKILL", "SIGTERM", "SIGINT"] as const) {
  for (const verb of ["ADD", "DEL"]) {
    Deno.test(`a delegate that hangs in ${verb} ends with the plugin, with all that it has started, at ${end}`, async () => {
      await withHangingIpam(verb, async (host, start) => {
        if (verb === "DEL") assertEquals((await start("ADD").status).code, 0);
        const plugin = start(verb);
        const pids = await hangingPids(host);
        try {
          assertEquals(pids.map(isRunning), [true, true, true]);
          plugin.kill(end);
          await plugin.status;
        } finally {
          await untilGone(pids);
        }
        // The DEL that a runtime sends then finds what to undo.
        await Deno.writeTextFile(`${host.pluginFolder}/hangs`, "nothing");
        assertEquals((await start("DEL").status).code, 0);
        const { state, links } = await host.leftovers();
        assertEquals([state, links], [[], []]);
      });
    });
  }
}

Deno.test("what a delegate has left running lives on when the plugin ends as usual", async () => {
  await withHangingIpam("nothing", async (host, start) => {
    const path = `${host.pluginFolder}/lodentest-ipam`;
    const left = `sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >"$(dirname "$0")/pids"`;
    await Deno.writeTextFile(path, HANGING.replace('[ "$CNI_COMMAND" = ADD ]', `${left}\n$&`));
    assertEquals((await start("ADD").status).code, 0);
    const pids = await hangingPids(host);
    try {
      assertEquals(pids.map(isRunning), [true]);
    } finally {
      for (const pid of pids) Deno.kill(pid, "SIGKILL");
    }
  });
});

/** A delegate that attaches, which a file stands for, only when it is told to, and notes what it was asked. */
const SLOW = `#!/bin/sh
D=$(dirname "$0"); echo "$CNI_COMMAND" >>"$D/asked"
[ "$CNI_COMMAND" = ADD ] || { rm -f "$D/attached"; exit 0; }
while [ ! -e "$D/go" ]; do sleep 0.02; done
touch "$D/attached"; echo '{"cniVersion":"1.0.0"}'
`;

Deno.test("a pod that is detached while it is attached has nothing in the end, and ADD fails", async () => {
  await withHangingIpam("nothing", async (host, start) => {
    const folder = host.pluginFolder;
    // Before the standard one in the runtime's path.
    await Deno.writeTextFile(`${folder}/bridge`, SLOW);
    await Deno.chmod(`${folder}/bridge`, 0o755);
    const textOf = (name: string) => Deno.readTextFile(`${folder}/${name}`).catch(() => undefined);
    const adding = start("ADD");
    await waitUntil(
      "see ADD reach the delegate",
      async () => await textOf("asked") === "ADD\n" || undefined,
      { deadlineMs: 20_000, signal: new AbortController().signal },
    );
    assertEquals((await start("DEL").status).code, 0);
    await Deno.writeTextFile(`${folder}/go`, "");
    assertEquals((await adding.status).code, 1);
    assertEquals(await textOf("asked"), "ADD\nDEL\nDEL\n");
    assertEquals([await textOf("attached"), (await host.leftovers()).state], [undefined, []]);
  });
});
