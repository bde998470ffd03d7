import { escaped } from "../log/printable.ts";
import { VERSION } from "../model/version.ts";
import { type Command, EXIT, type Place } from "./command.ts";
import type { Output } from "./output.ts";
import { ignoreSignals } from "./signals.ts";
import { STATUS_USAGE } from "./status/usage.ts";

/** All commands; what one needs is loaded when it is run. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  "agent": {
    summary: "run on this host; also what flags without a command do, as flanneld",
    run: async (args, place) => await (await import("./agent.ts")).runAgentCommand(args, place),
  },
  "status": {
    summary: "how this host is: ready or why not, what to do, its peers; also with no agent",
    usage: STATUS_USAGE,
    run: async (args, place) => await (await import("./status/status.ts")).runStatus(args, place),
  },
  "install-cni": {
    summary: "put the CNI plugin, and a conflist, where the container runtime looks for them",
    run: install,
  },
  "cleanup": {
    summary: "find and release what vanished pods have left, or all of ours on this host",
    run: cleanup,
  },
  "doctor": {
    summary: "look at what the agent needs of the cloud, and say what is wrong; changes nothing",
    run: doctor,
  },
  "lab": { summary: "several hosts on this machine, in network namespaces", run: lab },
  "version": { summary: "print the version", run: (_, { output }) => say(output, VERSION) },
  "help": {
    summary: "print this; 'loden agent -help' prints the agent's flags",
    run: (_, { output }) => say(output, overview()),
  },
};

function overview(): string {
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(13)} ${summary}`);
  return [
    `loden ${VERSION}: a layer 3 network for pods that heals itself`,
    "",
    "Usage: loden COMMAND [-FLAG[=VALUE]]...",
    "",
    ...lines,
  ].join("\n");
}

function say(output: Output, text: string): number {
  output.say(text);
  return EXIT.done;
}

async function doctor(args: readonly string[], { output, signal }: Place): Promise<number> {
  const { runDoctor } = await import("./doctor.ts");
  const environment = Deno.env.toObject();
  const print = (line: string) => output.say(escaped(line));
  return await runDoctor(args, { environment, print }, { signal }) ? EXIT.done : EXIT.failed;
}

async function install(args: readonly string[], { output }: Place): Promise<number> {
  const { installCni } = await import("./install_cni.ts");
  installCni(args, {
    environment: Deno.env.toObject(),
    program: Deno.build.standalone ? Deno.execPath() : undefined,
    print: (line) => output.say(line),
  });
  return EXIT.done;
}

async function cleanup(args: readonly string[], { output, signal }: Place): Promise<number> {
  const { runCleanup } = await import("./cleanup/cleanup.ts");
  const write = (text: string) => output.say(text);
  return await runCleanup(args, { write, environment: Deno.env.toObject() }, { signal });
}

async function lab(args: readonly string[], { output, signal }: Place): Promise<number> {
  const { runLab } = await import("../lab/demo.ts");
  using _ignored = ignoreSignals(() => {});
  return await runLab(args, {
    write: (text) => output.say(text),
    isTerminal: Deno.stdout.isTerminal(),
    agentCommand: selfCommand("agent"),
  }, { signal });
}

/** The command line that starts this very program with `command`. */
function selfCommand(command: string): readonly string[] {
  if (Deno.build.standalone) return [Deno.execPath(), command];
  return [
    Deno.execPath(),
    "run",
    "--quiet",
    "-A",
    new URL("../../mod.ts", import.meta.url).pathname,
    command,
  ];
}
