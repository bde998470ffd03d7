import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { formatAddress, parseAddress, prefixContains } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import type { Conflist } from "../plugin/runtime.ts";
import { until, untilReady, withOverlay } from "../double/overlay_rig.ts";
import { Podman } from "../double/podman.ts";

const NOTHING = { links: [], addresses: [], state: [], rules: [] };
/** The port of iperf3(1). */
const SERVED = 5201;

/** What kubeadm's users apply, as flannel publishes it. */
function kubeadmConflist(cniVersion: string): Conflist {
  return {
    name: "cbr0",
    cniVersion,
    plugins: [
      { type: "flannel", delegate: { hairpinMode: true, isDefaultGateway: true } },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
}

async function startAgent(host: LabHost, libc: Libc): Promise<void> {
  host.startAgent();
  await host.waitForSubnets();
  await untilReady(libc, host);
}

/** Two hosts with agents and podman. One has the version that flannel ships, one the last that podman knows. */
async function withPodman(
  body: (hosts: readonly [LabHost, LabHost], podmen: readonly [Podman, Podman]) => Promise<void>,
): Promise<void> {
  await withOverlay({ hosts: 2, withAgents: false }, async (lab, libc) => {
    const [h1, h2] = lab.hosts as readonly LabHost[] as [LabHost, LabHost];
    await Promise.all([h1, h2].map((host) => startAgent(host, libc)));
    await using p1 = await Podman.open(h1, kubeadmConflist("0.3.1"));
    await using p2 = await Podman.open(h2, kubeadmConflist("1.0.0"));
    await body([h1, h2], [p1, p2]);
  });
}

Deno.test("containers of podman reach each other on a host and across hosts, and leave nothing", async () => {
  await withPodman(async (hosts, podmen) => {
    const [p1, p2] = podmen;
    const [a, b, c] = [await p1.start("a"), await p1.start("b"), await p2.start("c")];
    for (const [host, address] of [[hosts[0], a], [hosts[0], b], [hosts[1], c]] as const) {
      const { subnets } = host.share;
      assert(prefixContains(subnets[0]!, parseAddress(address)), `${address} is of ${host.name}`);
    }
    assertEquals(new Set([a, b, c]).size, 3);
    for (const [podman, from, to] of [[p1, "a", b], [p1, "a", c], [p2, "c", a], [p2, "c", b]] as const) {
      await until(`reach ${to} from ${from}`, async () => await podman.answers(from, to) || undefined);
    }
    const mtu = await p2.must("exec", "c", "/usr/bin/cat", "/sys/class/net/eth0/mtu");
    assertEquals(Number(mtu), hosts[1].share.mtuBytes);

    const { links, addresses, state } = await p1.leftovers();
    assertEquals([links.length, addresses, state.length], [2, [a, b].sort(), 4]);
    await p1.remove("a");
    assertEquals((await p1.leftovers()).addresses, [b]);
    await p1.remove("b");
    await p2.remove("c");
    for (const podman of podmen) assertEquals(await podman.leftovers(), NOTHING);
  });
});

Deno.test("a container that ends by itself is detached by podman, and so is one that was killed", async () => {
  await withPodman(async (_, podmen) => {
    const [podman, other] = podmen;
    const target = await other.start("target");
    const { code, stdout, stderr } = await podman.once("/usr/bin/ping", "-nqc1", "-W5", target);
    assertEquals(code, 0, stdout + stderr);
    assertMatch(stdout, / 1 received/);
    await until("see nothing of the one that ended", async () => {
      return (await podman.leftovers()).state.length === 0 || undefined;
    });
    assertEquals(await podman.leftovers(), NOTHING);
    await other.must("kill", "--signal", "KILL", "target");
    await until("see nothing of the one that was killed", async () => {
      return (await other.leftovers()).state.length === 0 || undefined;
    });
    assertEquals(await other.leftovers(), NOTHING);
  });
});

Deno.test("a port that podman publishes is reached from its host and another, until the container is gone", async () => {
  await withPodman(async (hosts, [podman]) => {
    const [host] = hosts;
    await podman.start("server", {
      command: ["/usr/bin/iperf3", "--server"],
      flags: ["--publish", `8080:${SERVED}`],
    });
    const published = formatAddress(host.underlayAddresses[0]!);
    for (const [from, address] of [[hosts[1], published], [host, published], [host, "127.0.0.1"]] as const) {
      let last = "";
      await until(`reach ${address} from ${from.name}`, async () => {
        const words = ["iperf3", "-c", address, "-p", "8080", "-n", "1K"];
        const { code, stderr } = await from.exec("timeout", "5", ...words);
        last = stderr;
        return code === 0 || undefined;
      }, () => last);
    }
    assert((await podman.leftovers()).rules.length > 0);
    await podman.remove("server");
    assertEquals(await podman.leftovers(), NOTHING);
  });
});

Deno.test("podman repeats why there is no subnet yet, keeps nothing of that container, and starts it later", async () => {
  await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
    const host = lab.hosts[0]!;
    await using podman = await Podman.open(host, kubeadmConflist("1.0.0"));
    const { code, stderr } = await podman.once("/usr/bin/sleep", "0");
    assert(code !== 0, "there is no subnet");
    assertStringIncludes(stderr, "open /run/flannel/subnet.env: no such file or directory");
    assertEquals(await podman.leftovers(), NOTHING);
    await startAgent(host, libc);
    const later = await podman.once("/usr/bin/sleep", "0");
    assertEquals(later.code, 0, later.stderr);
  });
});
