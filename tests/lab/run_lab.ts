/** Runs the lab as the command does, with the words behind `--` as the command of the agents. */
import { runLab } from "../../src/lab/demo.ts";

const at = Deno.args.indexOf("--");
const controller = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(name, () => controller.abort(new DOMException(name, "AbortError")));
}
const write = (text: string) => void Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
const isTerminal = Deno.stdout.isTerminal();
const deps = { write, isTerminal, agentCommand: Deno.args.slice(at + 1), formDeadlineMs: 2000 };
Deno.exit(await runLab(Deno.args.slice(0, at), deps, { signal: controller.signal }));
