import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { AgentProcess } from "../../src/lab/agent_process.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import { FLANNELD_LOOK } from "../double/flanneld_rules.ts";
import { httpGet } from "../double/overlay_http.ts";
import { agentCommand, hostsOf, until, untilReady, withOverlay } from "../double/overlay_rig.ts";

const OPTIONS = { hosts: 1, families: [AF_INET, AF_INET6], agentFlags: ["-ip-masq"] } as const;

const tables = async (host: LabHost) =>
  (await host.netns.mustExec("nft", "list", "tables")).trim().split("\n").filter((line) =>
    line.includes("loden")
  )
    .sort();

/** Waits until all rules have the same handles for half a second: who writes one anew gives it another. */
async function untilAtRest(host: LabHost): Promise<void> {
  const handles = () => host.netns.mustExec("nft", "-s", "-a", "list", "ruleset");
  let before = await handles();
  await until("see the rules rest", async () => {
    await host.netns.mustExec("ping", "-c11", "-i0.05", "127.0.0.1");
    const after = await handles();
    const isSame = before === after;
    before = after;
    return isSame || undefined;
  });
}

Deno.test("two agents with two networks on one host leave each other's rules alone", async () => {
  await withOverlay(OPTIONS, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    await untilReady(libc, h1);
    const folder = `${h1.directory}/other`;
    await Deno.mkdir(folder);
    await Deno.writeTextFile(
      `${folder}/net-conf.json`,
      JSON.stringify({
        Network: "10.1.0.0/16",
        EnableIPv6: true,
        IPv6Network: "fd01::/48",
        Backend: { Type: "vxlan", VNI: 2 },
      }),
    );
    const agent = AgentProcess.start({
      netns: h1.netns.name,
      logPath: h1.logPath,
      environment: {},
      command: [
        ...agentCommand,
        `-local-registry=${folder}/leases.jsonl`,
        `-net-config-path=${folder}/net-conf.json`,
        `-subnet-file=${folder}/subnet.env`,
        `-lease-cache=${folder}/leases.json`,
        `-machine-id-file=${h1.machineIdPath}`,
        "-healthz-ip=127.0.0.1",
        "-healthz-port=8082",
        "-iface=eth0",
        "-unmanaged-files=false",
        "-log-format=json",
        "-ip-masq",
      ],
    });
    try {
      const all = [
        "table ip loden-10.1.0.0-16",
        "table ip loden-10.244.0.0-16",
        "table ip6 loden-fd00_10_244__-56",
        "table ip6 loden-fd01__-48",
      ];
      let seen: string[] = [];
      await until("see the tables of both", async () => {
        seen = await tables(h1);
        return seen.join() === all.join() ? true : undefined;
      }, () => seen.join());
      await untilAtRest(h1);
      await h1.netns.mustExec("sh", "-c", "iptables -P FORWARD DROP; ip6tables -P FORWARD DROP");
      const accepts = async () =>
        (await h1.netns.mustExec("sh", "-c", "iptables-save; ip6tables-save")).match(
          /^-A FLANNEL-FWD \S+ \S+/gm,
        );
      await until("see what both accept", async () => (await accepts())?.length === 8 || undefined);
      await untilAtRest(h1);
      await h1.netns.mustExec("nft", "flush", "ruleset");
      await until("see the tables again", async () => (await tables(h1)).join() === all.join() || undefined);
      await untilAtRest(h1);
    } finally {
      await agent.stop("SIGTERM");
    }
  });
});

Deno.test("an agent beside which a flanneld runs says so, and rests", async () => {
  await withOverlay(OPTIONS, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    await untilReady(libc, h1);
    let answer = "";
    await until("read of flanneld", async () => {
      // What fails while the agent removes it, flanneld tries again.
      await h1.exec("sh", "-c", FLANNELD_LOOK);
      answer = (await httpGet(libc, h1.netns, "/readyz"))?.body ?? "nobody listens";
      return answer.includes("flanneld runs on this host too") || undefined;
    }, () => answer);
    assert(answer.startsWith("flanneld is ready\n"), answer);
    assertStringIncludes(
      answer,
      "its rules for 10.244.0.0/16 and fd00:10:244::/56 came back 7 times within a minute",
    );
    // The last time that they were removed is over: from now on they stay.
    await h1.netns.mustExec("sh", "-ec", FLANNELD_LOOK);
    await untilAtRest(h1);
    assertMatch(await h1.netns.mustExec("iptables", "-t", "nat", "-S", "FLANNEL-POSTRTG"), /10\.244\.0\.0/);
    assertEquals(await tables(h1), ["table ip loden-10.244.0.0-16", "table ip6 loden-fd00_10_244__-56"]);
    const told = (await h1.logLines()).filter((line) => line.includes("flanneld runs on this host too"));
    assertEquals(told.length, 1);
  });
});
