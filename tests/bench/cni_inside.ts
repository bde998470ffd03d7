/**
 * Runs in the host's network namespace, as a container runtime does, so that entering it is not timed with every
 * plugin.
 *
 * @module
 */
import { attach, type Conflist, detach, type Sandbox } from "../plugin/runtime.ts";

/** What one chain took, and what the plugin `flannel` weighs in it. */
export interface ChainTimes {
  readonly addMs: number[];
  readonly delMs: number[];
  readonly rssMiB?: number;
  readonly anonMiB?: number;
}

interface Task {
  readonly chains: Readonly<Record<string, Conflist>>;
  readonly sandbox: Sandbox;
  readonly rounds: number;
  readonly memoryFolder: string;
}

const WARM_UP = 5;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

/** Has a delegate look at the process that has called it. */
async function weigh(list: Conflist, sandbox: Sandbox, folder: string): Promise<Partial<ChainTimes>> {
  const [first] = list.plugins;
  if (!first!.type.startsWith("flannel")) return {};
  const [, standard] = sandbox.pluginFolders;
  await Deno.mkdir(`${folder}/weigh`, { recursive: true });
  await Deno.writeTextFile(
    `${folder}/weigh/bridge`,
    `#!/bin/sh\ncat /proc/$PPID/status > ${folder}/status\nexec ${standard}/bridge\n`,
  );
  await Deno.chmod(`${folder}/weigh/bridge`, 0o755);
  const weighed = { ...sandbox, pluginFolders: [`${folder}/weigh`, ...sandbox.pluginFolders] };
  await detach(list, weighed, await attach(list, weighed));
  const status = await Deno.readTextFile(`${folder}/status`);
  const mebibytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)![1]) / 1024;
  return { rssMiB: mebibytes("VmRSS"), anonMiB: mebibytes("RssAnon") };
}

async function main({ chains, sandbox: { hostNetns: _, ...sandbox }, rounds, memoryFolder }: Task) {
  const times: Record<string, ChainTimes> = {};
  for (const [name, list] of Object.entries(chains)) {
    times[name] = { addMs: [], delMs: [], ...await weigh(list, sandbox, memoryFolder) };
  }
  for (let round = 0; round < WARM_UP + rounds; round++) {
    for (const [name, list] of Object.entries(chains)) {
      let result: Record<string, unknown> = {};
      const addMs = await timed(async () => result = await attach(list, sandbox));
      const delMs = await timed(() => detach(list, sandbox, result));
      if (round < WARM_UP) continue;
      times[name]!.addMs.push(addMs);
      times[name]!.delMs.push(delMs);
    }
  }
  // deno-lint-ignore no-console
  console.log(JSON.stringify(times));
}

if (import.meta.main) await main(JSON.parse(Deno.env.get("BENCH")!));
