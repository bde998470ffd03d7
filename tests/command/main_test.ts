import { assertEquals } from "@std/assert";
import { PERMISSIONS } from "../../.ci/compile.ts";
import { commandOf } from "../../src/command/main.ts";

const commands: [args: string[], calledAs: string, command: string[], why: string][] = [
  [[], "loden", ["help"], "nothing is asked for"],
  [["agent", "-iface=eth0"], "loden", ["agent", "-iface=eth0"], "a command is named"],
  [["-iface=eth0"], "loden", ["agent", "-iface=eth0"], "flannel's flags come without a command"],
  [["--kube-subnet-mgr"], "loden", ["agent", "--kube-subnet-mgr"], "two dashes are flags, too"],
  [[], "flanneld", ["agent"], "the file is called flanneld"],
  [["-v=1"], "flanneld", ["agent", "-v=1"], "flanneld has no commands"],
  [["lab", "-hosts=2"], "loden", ["lab", "-hosts=2"], "the lab is asked for"],
];

for (const [args, calledAs, command, why] of commands) {
  Deno.test(`commandOf() runs ${command.join(" ")} when ${why}`, () => {
    assertEquals([...commandOf(args, calledAs)], command);
  });
}

const runs: [args: string[], code: number, stdout: RegExp, stderr: RegExp][] = [
  [["version"], 0, /^\d+\.\d+\.\d+\n$/, /^$/],
  [["help"], 0, /^loden .*Usage:/s, /^$/],
  [["agent", "-version"], 0, /^$/, /^\d+\.\d+\.\d+\n$/],
  [["agent", "-help"], 0, /^$/, /^Usage: loden.*-iface/s],
  [["nonsense"], 2, /^$/, /^loden: Cannot run "nonsense": there is no such command; see 'loden help'\n$/],
  [
    ["agent", "-log-file=/dev/full"],
    1,
    /^$/,
    /^loden: Cannot write the log file \/dev\/full: loden is built without the right to use it; leave out -log-file,.*\n$/,
  ],
];

for (const [args, code, stdout, stderr] of runs) {
  Deno.test(`loden ${args.join(" ")} ends with code ${code}`, async () => {
    const mod = new URL("../../mod.ts", import.meta.url).pathname;
    const output = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", ...PERMISSIONS, mod, ...args],
      env: { NO_COLOR: "1" },
    }).output();
    const decoder = new TextDecoder();
    assertEquals(output.code, code);
    assertEquals([decoder.decode(output.stdout), stdout.test(decoder.decode(output.stdout))][1], true);
    assertEquals(stderr.test(decoder.decode(output.stderr)), true, decoder.decode(output.stderr));
  });
}
