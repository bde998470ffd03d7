/**
 * Runs `loden cleanup` in the network namespace that this process was started in, with the arguments that it was given.
 *
 * @module
 */
import { runCleanup } from "../../src/cli/cleanup.ts";

try {
  Deno.exitCode = await runCleanup(Deno.args, {
    write: (text) => void Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`)),
    environment: Deno.env.toObject(),
  }, { signal: new AbortController().signal });
} catch (error) {
  Deno.stderr.writeSync(new TextEncoder().encode(`${error instanceof Error ? error.message : error}\n`));
  Deno.exitCode = 1;
}
