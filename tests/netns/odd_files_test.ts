import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { compiledBinary } from "../../.ci/binary.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { formatPrefix } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { processCost } from "../bench/machine.ts";
import { ODD_FILES, type OddFile, putInPlace } from "../double/odd_files.ts";
import { httpGet } from "../double/overlay_http.ts";
import { until, untilReady, withOverlay } from "../double/overlay_rig.ts";

/** What an agent may take to answer, whatever it reads. */
const ANSWER_MS = 2000;
const MAX_RSS_MIB = 150;
const CONFIG = '{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}';
const CONFLIST = '{"name": "cbr0", "cniVersion": "1.0.0", "plugins": [{"type": "flannel"}]}';

interface Subject {
  readonly name: string;
  /** In the folder of its host. */
  readonly file: string;
  readonly text: string;
  readonly maxBytes: number;
  /** What `/readyz` begins with while another thing is in its place. */
  readonly answer: string;
}

const subjects: readonly Subject[] = [
  {
    name: "net-conf.json",
    file: "net-conf.json",
    text: CONFIG,
    maxBytes: 64 * 1024,
    answer: "200 flanneld is ready",
  },
  { name: "-cni-conf-from", file: "cni-conf.json", text: CONFLIST, maxBytes: 2 ** 20, answer: "503 " },
];

function flagsOf({ directory }: LabHost): string[] {
  return [
    `-net-config-path=${directory}/net-conf.json`,
    `-cni-conf=${directory}/net.d/10-flannel.conflist`,
    `-cni-conf-from=${directory}/cni-conf.json`,
  ];
}

/** Runs `run` with hosts that have all files, and no agents yet. */
async function withHosts(hosts: number, run: (hosts: readonly LabHost[], libc: Libc) => Promise<void>) {
  const agentCommand = [await compiledBinary(), "agent"];
  await withOverlay({ hosts, withAgents: false, agentCommand }, async (lab, libc) => {
    for (const { directory } of lab.hosts) {
      await Deno.mkdir(`${directory}/net.d`);
      for (const { file, text } of subjects) await Deno.writeTextFile(`${directory}/${file}`, text);
    }
    await run(lab.hosts, libc);
  });
}

/** What the agent answers, and proof that it does so soon. */
async function readyz(libc: Libc, host: LabHost): Promise<string> {
  const askedAtMs = performance.now();
  const answer = await httpGet(libc, host.netns, "/readyz");
  assertLess(performance.now() - askedAtMs, ANSWER_MS);
  return answer === undefined ? "nobody listens" : `${answer.status} ${answer.body}`;
}

async function untilAnswers(
  libc: Libc,
  host: LabHost,
  isRight: (answer: string) => boolean,
): Promise<string> {
  let answer = "";
  return await until(`hear ${host.name}`, async () => {
    answer = await readyz(libc, host);
    return isRight(answer) ? answer : undefined;
  }, () => answer);
}

const reasonOf = ({ reason }: OddFile, maxBytes: number) => reason.replace("MAX", String(maxBytes));

for (const { name, file, text, maxBytes, answer } of subjects) {
  Deno.test(`an agent that runs says what is in the place of ${name}, and goes on`, async (t) => {
    await withHosts(2, async ([h1, h2], libc) => {
      assert(h1 !== undefined && h2 !== undefined);
      const agent = h1.startAgent(flagsOf(h1));
      h2.startAgent(flagsOf(h2));
      for (const host of [h1, h2]) await untilReady(libc, host);
      const remote = formatPrefix((await h2.waitForSubnets()).subnets[0]!);
      const route = () => h1.netns.mustExec("ip", "route", "show", remote);
      await until("see the route", async () => (await route()).includes("flannel.1") || undefined);
      const path = `${h1.directory}/${file}`;
      for (const odd of ODD_FILES) {
        await t.step(odd.what, async () => {
          await putInPlace(path, odd.make);
          const said = await untilAnswers(libc, h1, (said) => said.includes(reasonOf(odd, maxBytes)));
          assertEquals(said.slice(0, answer.length), answer);
          assertStringIncludes(said, path);
          await h1.netns.mustExec("ip", "route", "del", remote);
          await until("see the route again", async () => (await route()).includes("flannel.1") || undefined);
          await putInPlace(path, (path) => Deno.writeTextFile(path, text));
          // That the route was deleted again and again is told, too.
          const isWell = (said: string) => said.startsWith("200 flanneld is ready") && !said.includes(path);
          await untilAnswers(libc, h1, isWell);
          assertLess((await processCost(agent.pid)).peakRssMiB, MAX_RSS_MIB);
        });
      }
      assertEquals(agent.end, undefined, "it was not started again");
    });
  });
}

const required: readonly {
  readonly name: string;
  readonly file: string;
  readonly flags: (path: string) => readonly string[];
  readonly maxBytes: number;
  /** What the one line says before and behind the reason. */
  readonly parts: (path: string) => readonly [string, string];
}[] = [
  {
    name: "net-conf.json",
    file: "net-conf.json",
    flags: () => [],
    maxBytes: 64 * 1024,
    parts: (path) => [
      `Cannot read the network configuration ${path}: `,
      "or name another file with -net-config-path",
    ],
  },
  {
    name: "a kubeconfig",
    file: "kubeconfig",
    flags: (path) => ["-local-registry=", "-kube-subnet-mgr", `-kubeconfig-file=${path}`],
    maxBytes: 2 ** 20,
    parts: (path) => [`Cannot use the kubeconfig ${path}: `, "or name another with -kubeconfig-file"],
  },
];

for (const { name, file, flags, maxBytes, parts } of required) {
  Deno.test(`an agent that starts says what is in the place of ${name}, and ends`, async (t) => {
    await withHosts(1, async ([host]) => {
      assert(host !== undefined);
      const path = `${host.directory}/${file}`;
      for (const odd of ODD_FILES) {
        await t.step(odd.what, async () => {
          await putInPlace(path, odd.make);
          const { netns, command } = host.agentStart([...flagsOf(host), ...flags(path)]);
          const { code, stderr } = await new Deno.Command("timeout", {
            args: ["-s", "KILL", "10", "ip", "netns", "exec", netns, ...command],
            env: { NO_COLOR: "1", NODE_NAME: "h1" },
            stdin: "null",
          }).output();
          const lines = new TextDecoder().decode(stderr).trim().split("\n").filter((line) =>
            !line.startsWith("{")
          );
          assertEquals([code, lines.length], [1, 1], lines.join("\n"));
          for (const part of [...parts(path), reasonOf(odd, maxBytes)]) assertStringIncludes(lines[0]!, part);
        });
      }
    });
  });
}

Deno.test("an agent that starts says what is in the place of -cni-conf-from, and goes on when it is mended", async (t) => {
  await withHosts(1, async ([host], libc) => {
    assert(host !== undefined);
    const path = `${host.directory}/cni-conf.json`;
    for (const odd of ODD_FILES) {
      await t.step(odd.what, async () => {
        await putInPlace(path, odd.make);
        host.startAgent(flagsOf(host));
        await untilAnswers(libc, host, (said) => said.includes(reasonOf(odd, 2 ** 20)));
        await putInPlace(path, (path) => Deno.writeTextFile(path, CONFLIST));
        await untilReady(libc, host);
        await host.stopAgent();
        await Deno.remove(`${host.directory}/net.d/10-flannel.conflist`);
      });
    }
  });
});

// Links to nothing are usual here, and a folder is refused before anything is read.
for (const odd of ODD_FILES.filter(({ what }) => !["a folder", "a link to nothing"].includes(what))) {
  Deno.test(`an agent starts with ${odd.what} in the place of all that it reads of its machine and of itself`, async () => {
    await withHosts(1, async ([host], libc) => {
      assert(host !== undefined);
      for (
        const file of [
          "machine-id",
          "subnet.env",
          "boot.json",
          "history.json",
          "agent.json",
          "agent.lock",
          "leases.json",
        ]
      ) {
        const path = `${host.directory}/${file}`;
        await Deno.remove(path).catch(() => {});
        await odd.make(path);
      }
      const agent = host.startAgent(flagsOf(host));
      await untilReady(libc, host);
      const said = (await host.logLines()).map((line) => JSON.parse(line))
        .find(({ event }) => event === "machine id not read");
      assertEquals([said?.path, said?.reason], [`${host.directory}/machine-id`, reasonOf(odd, 64)]);
      assertEquals((await host.waitForSubnets()).subnets.length, 1, "the subnet file is written again");
      assertLess((await processCost(agent.pid)).peakRssMiB, MAX_RSS_MIB);
    });
  });
}

for (const odd of ODD_FILES) {
  Deno.test(`the plugin refuses a subnetFile that is ${odd.what}`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const subnetFile = `${folder}/subnet.env`;
      await odd.make(subnetFile);
      const conf = { name: "n", type: "flannel", cniVersion: "1.0.0", subnetFile, dataDir: `${folder}/data` };
      await Deno.writeTextFile(`${folder}/conf`, JSON.stringify(conf));
      const { code, stdout } = await new Deno.Command("timeout", {
        args: ["-s", "KILL", "10", "sh", "-c", 'exec "$0" <"$1"', await compiledBinary(), `${folder}/conf`],
        env: {
          CNI_COMMAND: "ADD",
          CNI_CONTAINERID: "c1",
          CNI_NETNS: "/x",
          CNI_IFNAME: "eth0",
          CNI_PATH: "/x",
        },
      }).output();
      const error = JSON.parse(new TextDecoder().decode(stdout));
      const isMissing = odd.what === "a link to nothing";
      assertEquals([code, error.code], [1, isMissing ? 11 : 5]);
      assertStringIncludes(
        error.msg,
        isMissing ? "no such file or directory" : `${subnetFile}: ${reasonOf(odd, 64 * 1024)}`,
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
