import type { Address } from "../../src/model/address.ts";
import type { NetlinkClient } from "../../src/netlink/client.ts";
import { queryLink } from "../../src/rtnetlink/link.ts";
import { decodeRouteLookup, encodeRouteLookup } from "../../src/rtnetlink/route_lookup.ts";

const POLL_MS = 1;
const DEADLINE_MS = 60_000;

/** Reports whether the kernel would send to `address` over the VTEP: cheap enough to ask every millisecond. */
export function isOverVtep(client: NetlinkClient, address: Address): boolean {
  const vtep = queryLink(client, "flannel.1");
  if (vtep === undefined) return false;
  let isOver = false;
  client.request(
    "look up a route",
    (writer, sequence) => encodeRouteLookup(writer, sequence, address),
    (message) => isOver = decodeRouteLookup(message)?.linkIndex === vtep.linkIndex,
  );
  return isOver;
}

/** An agent in a network namespace. */
export interface RunningAgent extends AsyncDisposable {
  readonly pid: number;
  /** Waits for a condition; milliseconds since the start of the process. */
  until(condition: () => boolean): Promise<number>;
  /** Passes so far that planned nothing. */
  settledPasses(): number;
  /** Sends SIGTERM and waits for the end; milliseconds. */
  stop(): Promise<number>;
}

/** Starts the agent with JSON lines of all passes. */
export function startAgent(
  binary: string,
  netns: string,
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
): RunningAgent {
  const startedMs = performance.now();
  const child = new Deno.Command("ip", {
    args: [
      ...[
        "netns",
        "exec",
        netns,
        binary,
        "agent",
        "-v=1",
        "-log-format=json",
        "-iface=eth0",
        "-unmanaged-files=false",
      ],
      ...flags,
    ],
    env,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let settled = 0;
  let tail = "";
  const log = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      settled += text.split('"event":"pass ended","planned":0').length - 1;
      tail = (tail + text).slice(-2000);
    }
  })();
  const stop = async () => {
    const sentMs = performance.now();
    await endProgram(child);
    await log;
    return performance.now() - sentMs;
  };
  return {
    pid: child.pid,
    settledPasses: () => settled,
    async until(condition) {
      while (!condition()) {
        if (performance.now() - startedMs > DEADLINE_MS) {
          throw new Error(`Cannot measure: the agent took over ${DEADLINE_MS} ms; its log ends: ${tail}`);
        }
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
      return performance.now() - startedMs;
    },
    stop,
    [Symbol.asyncDispose]: async () => void await stop(),
  };
}

/** Sends SIGTERM, and waits for the end. */
export async function endProgram(child: Deno.ChildProcess): Promise<void> {
  try {
    child.kill("SIGTERM");
  } catch {
    // It has ended already.
  }
  await child.status;
}
