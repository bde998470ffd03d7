import { UsageError } from "../config/usage_error.ts";
import { escaped } from "../log/printable.ts";
import { VERSION } from "../model/version.ts";
import { AGENT } from "./agent_main.ts";
import { type Command, EXIT, type Place } from "./command.ts";
import { commandHelp } from "./command_flags.ts";
import { COMPLETION_USAGE } from "./completion/usage.ts";
import { DOCTOR_USAGE } from "./doctor/usage.ts";
import { EXPLAIN_USAGE } from "./explain/usage.ts";
import { KUBECTL_USAGE } from "./kubectl/usage.ts";
import { MAN_USAGE } from "./man/usage.ts";
import type { Output } from "./output.ts";
import { PLAN_USAGE } from "./plan/usage.ts";
import { ignoreSignals } from "./signals.ts";
import { STATUS_USAGE } from "./status/usage.ts";
import { SUPPORT_BUNDLE_USAGE } from "./support_bundle/usage.ts";

/** All commands; what one needs is loaded when it is run. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  "agent": AGENT,
  "status": {
    summary: "how this host is: ready or why not, what to do, its peers",
    usage: STATUS_USAGE,
    run: async (args, place) => await (await import("./status/status.ts")).runStatus(args, place),
  },
  "explain": {
    summary: "what becomes of a packet to an address, link by link",
    usage: EXPLAIN_USAGE,
    run: async (args, place) => await (await import("./explain/explain.ts")).runExplain(args, place),
  },
  "install-cni": {
    summary: "put the CNI plugin and a conflist where the runtime looks",
    loadUsage: async () => (await import("./install_cni.ts")).INSTALL_USAGE,
    run: install,
  },
  "cleanup": {
    summary: "release what vanished pods have left, or all of ours",
    loadUsage: async () => (await import("./cleanup/cleanup_flags.ts")).CLEANUP_USAGE,
    run: cleanup,
  },
  "hand-back": {
    summary: "hand this host back to flannel, while packets flow",
    loadUsage: async () => (await import("./hand_back/usage.ts")).HAND_BACK_USAGE,
    run: async (args, place) => await (await import("./hand_back/hand_back.ts")).runHandBack(args, place),
  },
  "doctor": {
    summary: "look for what is wrong with this host and its registry",
    usage: DOCTOR_USAGE,
    run: doctor,
  },
  "support-bundle": {
    summary: "collect what others need to find a fault, without secrets",
    usage: SUPPORT_BUNDLE_USAGE,
    run: async (args, place) =>
      await (await import("./support_bundle/support_bundle.ts")).runSupportBundle(args, place),
  },
  "plan": {
    summary: "say what would change on this host now, an object a line",
    usage: PLAN_USAGE,
    usageExit: 1,
    run: async (args, place) => await (await import("./plan/plan.ts")).runPlan(args, place),
  },
  "kubectl": {
    summary: "the nodes of a cluster and their agents; also: kubectl loden",
    usage: KUBECTL_USAGE,
    run: async (args, place) =>
      await (await import("./kubectl/kubectl.ts")).runKubectl(args, place, Deno.env.toObject()),
  },
  "lab": {
    summary: "several hosts on this machine, in network namespaces",
    loadUsage: async () => (await import("../lab/flags.ts")).LAB_USAGE,
    run: lab,
  },
  "completion": {
    summary: "print what completes commands and flags in bash, zsh or fish",
    usage: COMPLETION_USAGE,
    run: async (args, { output }) =>
      say(output, await (await import("./completion/completion.ts")).completionOf(args, COMMANDS)),
  },
  "man": {
    summary: "print the manual page: loden man | man -l -",
    usage: MAN_USAGE,
    run: async (args, { output }) => say(output, await (await import("./man/man.ts")).manOf(args, COMMANDS)),
  },
  "version": { summary: "print the version", run: (_, { output }) => say(output, VERSION) },
  "help": {
    summary: "print this, or the help of a command: loden help status",
    run: help,
  },
};

/** What `loden help` prints: one screen. */
export function overview(): string {
  const width = Math.max(...Object.keys(COMMANDS).map(({ length }) => length));
  return [
    `loden ${VERSION}: a layer 3 network for pods that heals itself`,
    "",
    "Usage: loden COMMAND [--FLAG[=VALUE]]...",
    "",
    ...Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`),
  ].join("\n");
}

async function help(args: readonly string[], place: Place): Promise<number> {
  const [name] = args;
  if (name === undefined || name.startsWith("-")) return say(place.output, overview());
  const command = name !== "help" && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    throw new UsageError(`Cannot help with "${name}": there is no such command; see 'loden help'`);
  }
  // A command that reads its words by itself tells its help by itself.
  return command.usage === undefined
    ? await command.run(["--help"], place)
    : say(place.output, commandHelp(command.usage));
}

function say(output: Output, text: string): number {
  output.say(text);
  return EXIT.done;
}

async function doctor(args: readonly string[], { output, signal }: Place): Promise<number> {
  const { runDoctor } = await import("./doctor/doctor.ts");
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
