import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { changeText } from "../../src/model/host_plan.ts";
import { deleteTable } from "../faults/rules.ts";
import { hostObjects } from "../faults/host_objects.ts";
import { untilQuiet } from "../faults/run_fault.ts";
import { changesIn, planIn, planOn, untilAsked } from "../double/overlay_plan.ts";
import { onEveryRegistry } from "../double/overlay_registries.ts";
import { hostsOf, statusOf, until, untilReady, untilSettled, withOverlay } from "../double/overlay_rig.ts";
import { withEtcdOverlay } from "../double/overlay_servers.ts";
import { leaseOf } from "../double/overlay_standing.ts";

onEveryRegistry(
  "a plan without an agent reads the registry and writes nothing there",
  {},
  async (overlay) => {
    const { lab, flags, leases } = overlay;
    const [host, peer] = hostsOf(lab);
    await untilAsked(host);
    assertEquals(await planOn(host, flags), { code: 0, text: "", errors: "" });
    // One that runs may renew its lease meanwhile.
    for (const each of lab.hosts) await each.stopAgent("SIGTERM");
    const before = await leases();
    const settled = await planOn(host, flags);
    assertEquals([settled.code, settled.text], [0, ""], settled.errors);
    await overlay.remove(leaseOf(before, peer).key);
    const left = await leases();
    const plan = planIn(await planOn(host, flags, "--json"));
    assertEquals(await leases(), left);
    const { subnets: [subnet] } = leaseOf(before, peer);
    const routes = changesIn(plan).filter(({ kind }) => kind === "route").map(changeText);
    assertEquals(routes.length, 1);
    assertMatch(
      routes[0]!,
      new RegExp(`^- route ${subnet} metric \\d+ via \\S+ dev flannel.1 onlink proto 76$`),
    );
    assertEquals(changesIn(plan).map(({ kind }) => kind), ["route", "fdb", "neighbour"]);
  },
);

Deno.test("a plan while the registry is away counts what was known last, adds and removes nothing, and says so", async () => {
  await withEtcdOverlay(async ({ lab, flags, stopServer }) => {
    const [host, peer] = hostsOf(lab);
    await untilAsked(host);
    await host.stopAgent("SIGTERM");
    await stopServer();
    const { netns } = host;
    const routes = JSON.parse(await netns.mustExec("ip", "-j", "route", "show", "dev", "flannel.1"));
    const ofPeer = routes.find(({ gateway }: { gateway: string }) =>
      peer.share.subnets.some(({ address }) =>
        gateway === [24, 16, 8, 0].map((bits) => Number(address) >>> bits & 255).join(".")
      )
    );
    await netns.mustExec("ip", "route", "delete", ofPeer.dst, "metric", String(ofPeer.metric));
    await netns.mustExec("ip", "route", "add", "10.244.77.0/24", "dev", "flannel.1", "proto", "76");
    const answer = await planOn(host, flags, "--json");
    const plan = planIn(answer);
    assertEquals(answer.code, 2, answer.errors);
    assertEquals(changesIn(plan).map(({ object }) => object), [
      `route ${ofPeer.dst} metric ${ofPeer.metric}`,
    ]);
    assertMatch(plan.notes.join(), /the registry has not told who else there is/);
  }, {});
});

Deno.test("plans that are asked for while all changes leave the host to its agent, and never fail", async () => {
  await withOverlay({ withAgents: false }, async (lab, libc) => {
    const flags = ["-ip-masq"];
    for (const host of lab.hosts) host.startAgent(flags);
    for (const host of lab.hosts) {
      await host.waitForSubnets();
      await host.makePod();
    }
    await untilSettled(lab, libc);
    const [host] = hostsOf(lab);
    await untilAsked(host);
    await untilQuiet({ libc, host });
    const before = await hostObjects(host);
    const [family] = host.families;
    let isOver = false;
    const trouble = (async () => {
      for (let round = 0; !isOver; round++) {
        await host.netns.mustExec("ip", "link", "set", "flannel.1", "mtu", String(1300 + round % 50));
        await deleteTable({ host, family } as Parameters<typeof deleteTable>[0]).catch(() => {});
        await host.netns.mustExec("ip", "route", "flush", "dev", "flannel.1");
      }
    })();
    const asks = async () => {
      for (let count = 0; count < 4; count++) {
        const { code, errors } = await planOn(host, flags, "--json");
        assert(code === 0 || code === 2, `${code}: ${errors}`);
      }
    };
    await Promise.all([asks(), asks()]).finally(() => isOver = true);
    await trouble;
    await until("see all as it was", async () => {
      const now = await hostObjects(host);
      return JSON.stringify([...now]) === JSON.stringify([...before]) ? true : undefined;
    });
    await untilQuiet({ libc, host });
    const settled = await planOn(host, flags);
    assertEquals([settled.code, settled.errors], [0, ""], settled.text);
  });
});

Deno.test("what another program undoes again and again is noted, and its route in front of ours too", async () => {
  await withOverlay({}, async (lab, libc) => {
    const [host, peer] = hostsOf(lab);
    await untilReady(libc, host);
    await untilAsked(host);
    const subnet = peer.share.subnets[0]!;
    const first = [24, 16, 8, 0].map((bits) => Number(subnet.address) >>> bits & 255).join(".");
    // The lower half of the peer's subnet.
    await host.netns.mustExec("ip", "route", "add", "blackhole", `${first}/25`);
    const flush = async () => {
      const { mustExec } = host.netns;
      if (await mustExec.call(host.netns, "ip", "route", "show", "proto", "76") === "") return;
      await mustExec.call(host.netns, "ip", "route", "flush", "proto", "76");
    };
    await until("hear of the fight", async () => {
      await flush();
      const status = await statusOf(libc, host);
      return status?.conditions.some((one) => one.code === "state-fought") || undefined;
    });
    const { code, text } = await planOn(host, []);
    assert(code === 0 || code === 2, text);
    assertMatch(text, /^notes\n {2}.* has changed route .* after each repair/m);
    assertMatch(text, new RegExp(`  note: .*${first}/25`));
  });
});

Deno.test("what a plan can't know it says, and ends with 1", async () => {
  await withOverlay({}, async (lab, libc) => {
    const [host] = hostsOf(lab);
    await untilReady(libc, host);
    const other = `${host.directory}/other.env`;
    // Another agent's files, and the same network: that one would wait.
    const rival = await planOn(
      host,
      [],
      `-subnet-file=${other}`,
      ...host.agentStart([]).command.filter((word) =>
        word.startsWith("-local-registry") || word.startsWith("-net-config-path")
      ),
    );
    assertEquals(rival.code, 1);
    assertStringIncludes(rival.errors, "another agent of network 10.244.0.0/16 runs on this host");
    await untilAsked(host);
    host.agent!.signal("SIGSTOP");
    try {
      const halted = await planOn(host, []);
      assertEquals(halted.code, 1);
      assertStringIncludes(halted.errors, "has not answered within");
    } finally {
      host.agent!.signal("SIGCONT");
    }
    // Those of other hosts would make the file again.
    for (const each of lab.hosts) await each.stopAgent("SIGTERM");
    const config = await Deno.readTextFile(lab.networkConfigPath);
    await Deno.writeTextFile(lab.networkConfigPath, config.replace("10.244.0.0/16", "10.99.0.0/16"));
    const refused = await planOn(host, []);
    await Deno.writeTextFile(lab.networkConfigPath, config);
    assertEquals(refused.code, 1);
    assertStringIncludes(refused.errors, "is not applied, and all stays as it was");
    await Deno.rename(lab.registryPath, `${lab.registryPath}.away`);
    const lost = await planOn(host, []);
    await Deno.rename(`${lab.registryPath}.away`, lab.registryPath);
    assertEquals(lost.code, 1);
    assertStringIncludes(lost.errors, "does not exist");
    assertEquals(await Deno.stat(`${lab.registryPath}.away`).catch(() => undefined), undefined);
  });
});
