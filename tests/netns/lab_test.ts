import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { runIp } from "../../src/lab/command.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { Lab, type LabOptions } from "../../src/lab/lab.ts";
import { labName, namesIn, netnsNames, ownerOfNetns } from "../../src/lab/names.ts";
import { processesIn } from "../../src/lab/netns.ts";
import { isZombie, sweepLabs } from "../../src/lab/sweep.ts";
import { waitUntil } from "../../src/lab/wait.ts";
import { AF_INET, AF_INET6, type Family, formatAddress } from "../../src/model/address.ts";
import { Libc } from "../../src/linux/libc.ts";

const agentCommand = ["sh", new URL("../lab/fake_agent.sh", import.meta.url).pathname];
const BOTH: readonly Family[] = [AF_INET, AF_INET6];

/** Opens labs in a folder of the test's own, and checks at the end that nothing is left of them. */
async function withLabs(
  run: (open: (options?: Partial<LabOptions>) => Promise<Lab>, directory: string) => Promise<void>,
): Promise<void> {
  using libc = new Libc();
  const directory = await Deno.makeTempDir();
  try {
    await run((options) => Lab.open({ libc, agentCommand, directory, ...options }), directory);
    assertEquals(await namesIn(directory), [], "folders that are left");
    assertEquals(
      (await netnsNames()).filter((name) => ownerOfNetns(name) === Deno.pid),
      [],
      "namespaces that are left",
    );
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Whether a process has not ended, also if its end was not asked for. */
async function isRunning(pid: string): Promise<boolean> {
  try {
    return !isZombie(await Deno.readTextFile(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}

async function assertReaches(from: LabHost, to: LabHost): Promise<void> {
  for (const address of to.underlayAddresses) {
    const { code, stdout } = await from.exec("ping", "-c1", "-w5", formatAddress(address));
    assertEquals(code, 0, `${from.name} to ${formatAddress(address)}: ${stdout}`);
  }
}

for (const isRouted of [false, true]) {
  const where = isRouted ? "behind a router" : "on one segment";
  Deno.test(`Lab.open() makes hosts ${where} that reach each other over IPv4 and IPv6`, async () => {
    await withLabs(async (open) => {
      await using lab = await open({ isRouted, families: BOTH, withAgents: false });
      assertEquals(lab.hosts.map(({ name }) => name), ["h1", "h2", "h3"]);
      const [h1, h2, h3] = lab.hosts as [LabHost, LabHost, LabHost];
      await Promise.all([assertReaches(h1, h2), assertReaches(h2, h3), assertReaches(h3, h1)]);
      const h4 = await lab.addHost();
      await assertReaches(h4, h1);
      lab.setConnected(h4, false);
      const address = formatAddress(h4.underlayAddresses[0]!);
      assertEquals((await h1.exec("ping", "-c1", "-w1", address)).code, 1, "h4 is cut off");
      lab.setConnected(h4, true);
      await assertReaches(h1, h4);
    });
  });
}

Deno.test("Lab.open() starts an agent on each host and a pod in the subnet that it gets", async () => {
  await withLabs(async (open) => {
    const steps: string[] = [];
    await using lab = await open({ hosts: 2, families: BOTH, progress: (step) => steps.push(step) });
    assertEquals(steps, [
      "making 2 hosts",
      "waiting for subnets: 0 of 2",
      "waiting for subnets: 1 of 2",
      "making 2 pods",
    ]);
    const h2 = lab.hosts[1]!;
    assertEquals(h2.pod.addresses.map(formatAddress), ["10.244.2.2", "fd00:10:244:2::2"]);
    for (const gateway of ["10.244.2.1", "fd00:10:244:2::1"]) {
      assertEquals((await h2.podExec("ping", "-c1", "-w5", gateway)).code, 0, gateway);
    }
    const links = await h2.pod.netns.mustExec("ip", "-o", "link", "show", "eth0");
    assertMatch(links, /mtu 1430/);
    assertEquals(await processesIn(h2.netns.name), [String(h2.agent!.pid)]);
    assertEquals(await h2.logLines(), ['{"event":"subnet taken","host":2}']);
    const routes = await h2.exec("ip", "-6", "route", "show", "default");
    assertMatch(routes.stdout, /via 2001:db8::fe dev eth0/);
  });
});

Deno.test("LabHost.stopAgent() tells how the agent ended, and startAgent() starts it again", async () => {
  await withLabs(async (open) => {
    const deafToTerm = ["sh", "-c", "trap '' TERM; exec \"$@\"", "sh", ...agentCommand];
    await using lab = await open({ hosts: 1, agentCommand: deafToTerm });
    const host = lab.hosts[0]!;
    const first = host.agent!.pid;
    assertEquals((await host.stopAgent("SIGINT")).status.signal, "SIGINT");
    assert(host.startAgent().pid !== first);
    await waitUntil(
      "see the second agent's log",
      async () => (await host.logLines()).length === 2 ? true : undefined,
      { deadlineMs: 5000, signal: AbortSignal.timeout(5000) },
    );
    const { status, durationMs } = await host.stopAgent("SIGTERM", 100);
    assertEquals(status.signal, "SIGKILL");
    assert(durationMs >= 100);
  });
});

Deno.test("Lab ends processes that were left running in its namespaces when it is disposed of", async () => {
  await withLabs(async (open) => {
    await using lab = await open({ hosts: 1, withAgents: false });
    await lab.hosts[0]!.netns.mustExec("sh", "-c", "sleep 600 >/dev/null 2>&1 &");
    const [pid] = await processesIn(lab.hosts[0]!.netns.name);
    assert(await isRunning(pid!));
    await lab[Symbol.asyncDispose]();
    assert(!await isRunning(pid!));
  });
});

Deno.test("Lab.open() leaves nothing behind when an agent ends at once, and repeats its log", async () => {
  await withLabs(async (open) => {
    const script = 'for flag; do :; done; echo no luck >>"${flag#-log-file=}"; exit 3';
    const agentCommand = ["sh", "-c", script, "sh"];
    const error = await assertRejects(
      () => open({ hosts: 2, agentCommand }),
      Error,
      "ended with exit code 3",
    );
    assertMatch(error.message, /^ {2}no luck$/m);
  });
});

Deno.test("Lab.open() leaves nothing behind when it is aborted half-way", async () => {
  await withLabs(async (open) => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const progress = (step: string) => {
      if (step.startsWith("waiting for subnets: 1")) controller.abort(reason);
    };
    await assertRejects(() => open({ progress, signal: controller.signal }), Error, "enough");
  });
});

Deno.test("Lab.open() takes another name for a second lab of the same process", async () => {
  await withLabs(async (open) => {
    await using first = await open({ hosts: 1, withAgents: false });
    await using second = await open({ hosts: 1, withAgents: false });
    assertEquals([first.name, second.name], [labName(Deno.pid, 1), labName(Deno.pid, 2)]);
  });
});

Deno.test("sweepLabs() removes what a process that is gone has left, and nothing of one that lives", async () => {
  using libc = new Libc();
  const ended = new Deno.Command("ip", { args: ["-V"], stdout: "null" }).spawn();
  await ended.status;
  const folder = await Deno.makeTempDir();
  const names = [`loden${ended.pid}-h1`, `loden${Deno.pid}-h1`, `loden${ended.pid}-other`];
  try {
    for (const name of names) await runIp(["netns", "add", name]);
    await runIp(["netns", "exec", names[0]!, "sh", "-c", "sleep 600 >/dev/null 2>&1 &"]);
    await Deno.mkdir(`${folder}/loden${ended.pid}-abc`);
    await Deno.mkdir(`${folder}/loden${Deno.pid}-abc`);
    // Others may have been killed on this machine.
    const swept = (await sweepLabs(libc, folder)).filter((name) =>
      names.includes(name) || name.startsWith(folder)
    );
    assertEquals(swept, [names[0]!, `${folder}/loden${ended.pid}-abc`]);
    const left = (await netnsNames()).filter((name) => names.includes(name));
    assertEquals(left.sort(), names.slice(1).sort());
    assertEquals(await namesIn(folder), [`loden${Deno.pid}-abc`]);
  } finally {
    for (const name of names) await runIp(["netns", "delete", name]);
    await Deno.remove(folder, { recursive: true });
  }
});
