import { openHost } from "./host.ts";
import { startAgent } from "./agent.ts";
import { median, type ProcessCost, processCost } from "./machine.ts";
import { NETWORK } from "./members.ts";

const ROUNDS = 5;
/** From the first pass that planned nothing; all is loaded by then, and what was needed for that is collected. */
const REST_MS = 30_000;

/**
 * Measures the memory of an agent that is alone and that nobody asks, 30 s after it came to rest; with a binary to compare
 * with, of both at once.
 */
export async function measureMemory(
  binary: string,
  before?: string,
): Promise<Record<string, string | number>[]> {
  const binaries = Object.entries({ ...before !== undefined && { before }, now: binary });
  const costs = new Map<string, ProcessCost[]>(binaries.map(([name]) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    await Promise.all(binaries.map(async ([name, path]) => costs.get(name)!.push(await measureOne(path))));
  }
  return [...costs].map(([name, all]) => ({
    binary: name,
    "RSS MiB": median(all.map(({ rssMiB }) => rssMiB)),
    "RssAnon MiB": median(all.map(({ rssAnonMiB }) => rssAnonMiB)),
    "least": Math.min(...all.map(({ rssAnonMiB }) => rssAnonMiB)),
    "most": Math.max(...all.map(({ rssAnonMiB }) => rssAnonMiB)),
  }));
}

async function measureOne(path: string): Promise<ProcessCost> {
  await using stack = new AsyncDisposableStack();
  const { netns, folder } = await openHost(stack);
  await Deno.writeTextFile(`${folder}/net-conf.json`, JSON.stringify({ Network: NETWORK, SubnetLen: 24 }));
  const agent = stack.use(startAgent(path, netns.name, [
    `-local-registry=${folder}/registry.db`,
    `-net-config-path=${folder}/net-conf.json`,
    `-subnet-file=${folder}/subnet.env`,
    "-healthz-port=8081",
    "-healthz-ip=127.0.0.1",
  ]));
  await agent.until(() => agent.settledPasses() > 0);
  await new Promise((resolve) => setTimeout(resolve, REST_MS));
  return await processCost(agent.pid);
}
