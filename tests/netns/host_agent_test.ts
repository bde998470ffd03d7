import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import { queryLink } from "../../src/rtnetlink/link.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { httpGet } from "../double/overlay_http.ts";
import { releaseLease } from "../double/overlay_registry.ts";
import { hostsOf, logSince, until, untilReady, untilSettled, withOverlay } from "../double/overlay_rig.ts";

const FORWARDING = "net/ipv4/ip_forward";

async function readyz(libc: Libc, host: LabHost): Promise<string> {
  return (await httpGet(libc, host.netns, "/readyz"))?.body ?? "nobody listens";
}

async function hostStatus(libc: Libc, host: LabHost) {
  const answer = await httpGet(libc, host.netns, "/status");
  return JSON.parse(answer?.body ?? "{}");
}

/** What ethtool(8) says of the checksum offload of a VTEP; `undefined` while it is not there. */
async function txChecksum(host: LabHost, link: string): Promise<string | undefined> {
  const { stdout } = await host.exec("ethtool", "-k", link);
  return /^\ttx-checksum-ip-generic: (\w+)/m.exec(stdout)?.[1];
}

Deno.test("an agent keeps the host's settings, and says how the host is", async (t) => {
  await withOverlay({ hosts: 2, agentFlags: ["-vxlan-tx-checksum=off"] }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);

    await t.step("forwarding is turned off: it is on again at once", async () => {
      h1.netns.writeSysctl(FORWARDING, "0");
      await until("see forwarding on", () => h1.netns.readSysctl(FORWARDING) === "1" ? true : undefined);
      const { prerequisites } = (await hostStatus(libc, h1)).host;
      const verdict = prerequisites.find(({ name }: { name: string }) => name === "net.ipv4.ip_forward");
      assertEquals(verdict.verdict, "fixed");
      assertStringIncludes(verdict.detail, "net.ipv4.ip_forward was 0 and was set to 1");
    });

    await t.step("checksum offload is as the flag says, also of a VTEP that is made anew", async () => {
      const isOff = async () => await txChecksum(h1, "flannel.1") === "off" ? true : undefined;
      await until("see it off", isOff);
      await h1.netns.mustExec("ethtool", "-K", "flannel.1", "tx", "on");
      await until("see it off after it was turned on", isOff);
      await h1.netns.mustExec("ip", "link", "delete", "flannel.1");
      await until("see it off on the next VTEP", isOff);
      await until("read it in the status", async () => {
        const [state] = (await hostStatus(libc, h1)).host.txChecksums;
        return state?.on === false && state.link === "flannel.1" ? true : undefined;
      });
    });

    await t.step("after a reboot the VTEP has its MAC, though nobody knows the lease any more", async () => {
      const mac = queryLink(h1.client, "flannel.1")!.mac;
      await h1.stopAgent();
      const path = `${h1.directory}/boot.json`;
      const identity = JSON.parse(await Deno.readTextFile(path));
      await Deno.writeTextFile(path, JSON.stringify({ ...identity, bootId: crypto.randomUUID() }));
      await h1.netns.mustExec("ip", "link", "delete", "flannel.1");
      await releaseLease(lab, h1);
      const before = (await h1.logLines()).length;
      h1.startAgent(["-vxlan-tx-checksum=off"]);
      await untilReady(libc, h1);
      assertEquals(queryLink(h1.client, "flannel.1")!.mac, mac);
      const looked = (await logSince(h1, before)).find(({ event }) => event === "boot looked up");
      assertEquals(looked?.["boot"], "rebooted");
      assertEquals((await hostStatus(libc, h1)).host.boot, "rebooted");
      assertEquals(JSON.parse(await Deno.readTextFile(path)).bootId, identity.bootId, "it is noted");
    });

    await t.step("a restart in the same boot does not wait for the data path", async () => {
      await h2.stopAgent();
      h2.startAgent();
      await untilReady(libc, h2);
      assertEquals((await hostStatus(libc, h2)).host.boot, "same boot");
    });
  });
});

Deno.test("a host that has booted is ready when packets come back, or after a while with a note", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    assertEquals((await hostStatus(libc, h1)).host.dataPath.state, "proved");
    await h1.stopAgent();
    await Deno.remove(`${h1.directory}/boot.json`);
    await h2.netns.mustExec("nft", "add table inet shut");
    await h2.netns.mustExec("nft", "add chain inet shut input { type filter hook input priority 0; }");
    await h2.netns.mustExec("nft", "add rule inet shut input udp dport 8472 drop");
    h1.startAgent();
    let answer = "";
    await until("see what it waits for", async () => {
      answer = await readyz(libc, h1);
      return answer.includes("no packet has come back over the overlay yet: 192.0.2.2 at ")
        ? true
        : undefined;
    }, () => answer);
    assertStringIncludes(answer, "flanneld is not ready yet\n");
    await until("see it ready with a note", async () => {
      answer = await readyz(libc, h1);
      return answer.startsWith("flanneld is ready\n") ? true : undefined;
    }, () => answer);
    assertStringIncludes(answer, "look whether a firewall between the hosts drops UDP port 8472");
    await h2.netns.mustExec("nft", "delete table inet shut");
    await until(
      "see the note go",
      async () => await readyz(libc, h1) === "flanneld is ready" ? true : undefined,
    );
  });
});

Deno.test("pods reach the outside by the host's address, and others' firewalls don't stop them", async (t) => {
  const options = { hosts: 2, families: [AF_INET, AF_INET6], agentFlags: ["-ip-masq"] } as const;
  await withOverlay(options, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1] = hostsOf(lab);
    const outside = { [AF_INET]: "192.0.2.250", [AF_INET6]: "2001:db8::fa" };
    // The switch is the outside: it has no route to pods.
    await lab.underlay.mustExec("ip", "address", "add", `${outside[AF_INET]}/24`, "dev", "switch");
    await lab.underlay.mustExec("ip", "address", "add", `${outside[AF_INET6]}/64`, "dev", "switch", "nodad");
    const reaches = async (address: string) =>
      (await h1.podExec("ping", "-c1", "-i0.05", "-w2", address)).code === 0;

    for (const [family, address] of Object.entries(outside)) {
      await t.step(`a pod reaches ${address}, which has no route to family ${family} of pods`, async () => {
        await until(`reach ${address}`, async () => await reaches(address) || undefined);
      });
    }

    await t.step("rules that were flushed are there again", async () => {
      const table = async () => (await h1.exec("nft", "list", "table", "ip", "loden-10.244.0.0-16")).stdout;
      const before = await table();
      assert(before.includes("masquerade"));
      await h1.netns.mustExec("nft", "flush", "ruleset");
      await until("see them", async () => await table() === before ? true : undefined);
    });

    await t.step("a firewall that drops what is forwarded is told to let pods through", async () => {
      await h1.netns.mustExec("iptables", "-P", "FORWARD", "DROP");
      await h1.netns.mustExec("iptables", "-A", "FORWARD", "-j", "REJECT");
      await until(`reach ${outside[AF_INET]}`, async () => await reaches(outside[AF_INET]) || undefined);
      const chain = await h1.netns.mustExec("iptables", "-S", "FORWARD");
      assertEquals(chain.trim().split("\n"), [
        "-P FORWARD DROP",
        '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD',
        "-A FORWARD -j REJECT --reject-with icmp-port-unreachable",
      ]);
    });

    await t.step("a chain that is not ours to change is named", async () => {
      await h1.netns.mustExec("nft", "add table inet wall");
      await h1.netns.mustExec(
        "nft",
        "add chain inet wall crossing { type filter hook forward priority 10; policy drop; }",
      );
      const note = "the policy drop of chain crossing of table inet wall drops all packets between pods";
      let answer = "";
      await until("read of it", async () => {
        answer = await readyz(libc, h1);
        return answer.includes(note) ? true : undefined;
      }, () => answer);
      assertStringIncludes(answer, "flanneld is not ready yet\n");
    });

    await t.step("after the agent's end the rules stay", async () => {
      await h1.stopAgent();
      assertStringIncludes(
        await h1.netns.mustExec("nft", "list", "table", "ip6", "loden-fd00_10_244__-56"),
        "masquerade",
      );
    });
  });
});
