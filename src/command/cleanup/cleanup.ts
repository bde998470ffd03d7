import { parseOptions } from "../../config/options.ts";
import { NetlinkClient } from "../../netlink/client.ts";
import { Libc } from "../../linux/libc.ts";
import { NetlinkSocket } from "../../netlink/socket.ts";
import { cleanupHelp, type CleanupOptions, readCleanupOptions } from "./cleanup_flags.ts";
import { cleanUpStale } from "./cleanup_stale.ts";
import { hostFacts } from "../../agent/host_facts.ts";
import { requirePrivilege } from "../../agent/preflight.ts";

/** What `loden cleanup` needs of the process that it runs in. */
export interface CleanupIo {
  /** Writes one line. */
  write(text: string): void;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

const EXIT = { done: 0, failed: 1 } as const;
/** Empty when the host boots: file-hierarchy(7). */
const RUN_FOLDER = "/run";

/**
 * Runs `loden cleanup` and returns its exit code: 1 if something is left that was to be removed.
 *
 * @throws {UsageError} If a person must change the command line.
 * @throws {Error} If nothing could be done: one sentence.
 */
export async function runCleanup(
  args: readonly string[],
  io: CleanupIo,
  { signal }: { readonly signal: AbortSignal },
): Promise<number> {
  const options = readCleanupOptions(args, io.environment);
  if (options === undefined) {
    io.write(cleanupHelp());
    return EXIT.done;
  }
  using libc = new Libc();
  using transport = NetlinkSocket.open(libc);
  const client = new NetlinkClient(transport);
  if (!options.isDryRun) requirePrivilege(client);
  const write = (text: string) => io.write(text);
  const isDone = options.mode === "node"
    ? await cleanNode(options, { client, libc, write, environment: io.environment }, signal)
    : await cleanUpStale(options, { write, host: () => hostFacts(libc, client, RUN_FOLDER) }, { signal });
  return isDone ? EXIT.done : EXIT.failed;
}

async function cleanNode(
  options: CleanupOptions,
  deps: CleanupIo & { readonly client: NetlinkClient; readonly libc: Libc },
  signal: AbortSignal,
): Promise<boolean> {
  const outcome = parseOptions(options.agentArgs, deps.environment);
  if (outcome.kind !== "run") {
    deps.write(cleanupHelp());
    return true;
  }
  const { cleanUpNode } = await import("./cleanup_node.ts");
  const program = Deno.build.standalone ? Deno.execPath() : undefined;
  return await cleanUpNode(options, outcome.options, { ...deps, program }, { signal });
}
