import { isFile } from "../../src/file/read_file.ts";
import { CniError } from "../../src/pods/cni_error.ts";
import { runPlugin } from "../../src/plugin/plugin.ts";
import type { FlannelCase, FlannelStep } from "./flannel_cases.ts";

const RESULT = '{"cniVersion":"1.0.0","ips":[{"address":"10.244.1.2/24"}],"dns":{}}';
const DELEGATES = ["bridge", "ptp", "host-local", "dhcp"];
const CONTAINER = "c1";
const VARIABLES = {
  CNI_CONTAINERID: CONTAINER,
  CNI_NETNS: "/run/netns/lodentest-none",
  CNI_IFNAME: "eth0",
  CNI_NETNS_OVERRIDE: "1",
};

/** One call of the plugin: whether it succeeded, and what delegates were sent. */
type Answer = (
  step: FlannelStep,
  text: string,
  folder: string,
) => Promise<{ readonly isWell: boolean; readonly calls: readonly string[] }>;

/** What a plugin makes of a case, as lines: each call, what delegates were sent, and what is kept at the end. */
async function answerTo({ subnetEnv, steps }: FlannelCase, answer: Answer): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-flannel-" });
  try {
    if (subnetEnv !== undefined) await Deno.writeTextFile(`${folder}/subnet.env`, subnetEnv);
    const lines: string[] = [];
    for (const step of steps) {
      for (const [name, text] of Object.entries(step.files ?? {})) {
        await Deno.mkdir(`${folder}/data`, { recursive: true });
        await Deno.writeTextFile(`${folder}/data/${name}`, text);
      }
      const text = step.conf.replaceAll("SUBNET", `${folder}/subnet.env`).replaceAll(
        "DATA",
        `${folder}/data`,
      );
      const { isWell, calls } = await answer(step, text, folder);
      lines.push(`${step.verb} ${isWell ? "succeeds" : "fails"}`, ...calls.map((call) => `  ${call}`));
    }
    const state = await Deno.readTextFile(`${folder}/data/${CONTAINER}`).catch(() => undefined);
    lines.push(state === undefined ? "no state" : `state ${JSON.stringify(state)}`);
    return lines.join("\n");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What Loden's plugin makes of a case. */
export async function lodenAnswer(asked: FlannelCase): Promise<string> {
  return await answerTo(asked, async ({ verb, missing = [], isFailing = false }, text, folder) => {
    const calls: string[] = [];
    const find = (type: string) => {
      if (DELEGATES.includes(type) && !missing.includes(type)) return `/opt/cni/bin/${type}`;
      throw new CniError(999, `failed to find plugin "${type}" in path [/opt/cni/bin]`);
    };
    const { exitCode } = await runPlugin({
      variables: {
        ...VARIABLES,
        CNI_COMMAND: verb,
        CNI_PATH: "/opt/cni/bin",
        FLANNEL_CNI_SUBNET_FILE: `${folder}/usual.env`,
        FLANNEL_CNI_DATA_DIR: `${folder}/usual`,
      },
      readInput: () => Promise.resolve(text),
      host: () => ({
        delegates: {
          folders: ["/opt/cni/bin"],
          find,
          call: ({ verb, type, config }) => {
            find(type);
            calls.push(`${verb} ${type} ${config}`);
            if (isFailing) throw new CniError(11, "busy");
            return Promise.resolve(verb === "ADD" ? RESULT : "");
          },
          versions: () => Promise.resolve(["1.0.0"]),
        },
        readFile: (path) => Deno.readTextFileSync(path),
        agentState: () => undefined,
        isOwnNetns: () => false,
        log: { write: () => {} },
      }),
    });
    return { isWell: exitCode === 0, calls };
  });
}

/** What the program at `path` makes of a case, called as a runtime calls flannel's plugin. */
export async function programAnswer(path: string, asked: FlannelCase): Promise<string> {
  return await answerTo(asked, async ({ verb, missing = [], isFailing = false }, text, folder) => {
    const [bin, log] = [`${folder}/bin`, `${folder}/log`];
    await Deno.mkdir(bin, { recursive: true });
    const end = isFailing
      ? `echo '{"code":11,"msg":"busy"}'; exit 1`
      : `test $CNI_COMMAND != ADD || echo '${RESULT}'`;
    for (const type of DELEGATES) {
      if (missing.includes(type)) {
        if (isFile(`${bin}/${type}`)) await Deno.remove(`${bin}/${type}`);
        continue;
      }
      const head = `printf '%s ${type} ' $CNI_COMMAND >>${log}; cat >>${log}; echo >>${log}`;
      await Deno.writeTextFile(`${bin}/${type}`, `#!/bin/sh\n${head}\n${end}\n`);
      await Deno.chmod(`${bin}/${type}`, 0o755);
    }
    const child = new Deno.Command(path, {
      clearEnv: true,
      env: { ...VARIABLES, PATH: Deno.env.get("PATH") ?? "", CNI_COMMAND: verb, CNI_PATH: bin },
      stdin: "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const writer = child.stdin.getWriter();
    const fed = writer.write(new TextEncoder().encode(text)).then(() => writer.close()).catch(() => {});
    const { success } = await child.status;
    await fed;
    const written = await Deno.readTextFile(log).catch(() => "");
    if (written !== "") await Deno.remove(log);
    return { isWell: success, calls: written.split("\n").filter((line) => line !== "") };
  });
}
