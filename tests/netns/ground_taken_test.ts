import { assertStringIncludes } from "@std/assert";
import { flannelValue } from "../registry/etcd/etcd_world.ts";
import { etcdAccess } from "../double/overlay_leases.ts";
import { onEveryRegistry } from "../double/overlay_registries.ts";
import { hostsOf, statusOf, untilReady } from "../double/overlay_rig.ts";
import { ETCD_PREFIX, SERVER_ADDRESS, withEtcdOverlay } from "../double/overlay_servers.ts";
import { ip, leaseOf, standingOf, untilAsBefore, within } from "../double/overlay_standing.ts";
import { Relay } from "../double/relay.ts";

const SERVER = "10.244.0.254";
const COVERED = "10.244.0.0/24";
const DEADLINE_MS = 20_000;

onEveryRegistry(
  "a host whose pods are on a bridge of another name, as Docker's, keeps its subnet when its lease is deleted",
  { registries: ["local", "etcd"] },
  async (overlay) => {
    const [h1] = hostsOf(overlay.lab);
    const before = await standingOf(overlay);
    await ip(h1, "link", "set", "cni0", "down");
    await ip(h1, "link", "set", "cni0", "name", "docker0");
    await ip(h1, "link", "set", "docker0", "up");
    await overlay.remove(leaseOf(before.leases, h1).key);
    await untilAsBefore(overlay, before);
  },
);

Deno.test("an agent that finds the way to its registry in the overlay, as a former one left it, takes it out", async () => {
  await withEtcdOverlay(async ({ lab, libc, server, flags }) => {
    const [h1] = hostsOf(lab);
    await lab.underlay.mustExec("ip", "address", "add", `${SERVER}/32`, "dev", "switch");
    await using _relay = await Relay.open({
      netns: lab.underlay.name,
      hostname: SERVER,
      port: 2379,
      targetPort: server.port,
    });
    await h1.stopAgent();
    const hop = ["via", "10.244.0.0", "dev", "flannel.1", "onlink", "proto", "76"];
    await ip(h1, "route", "add", COVERED, ...hop);
    assertStringIncludes(await ip(h1, "route", "get", SERVER), "dev flannel.1");
    h1.startAgent(flags.map((flag) => flag.replace(SERVER_ADDRESS, SERVER)));
    await within(
      "see the way out again",
      DEADLINE_MS,
      async () => (await ip(h1, "route", "get", SERVER)).includes(`via ${SERVER_ADDRESS}`),
    );
    await within("see the registry followed", DEADLINE_MS, async () => {
      const status = await statusOf(libc, h1);
      return status?.ready === true && status.notes.length === 0;
    });
  });
});

Deno.test("a lease over another host's underlay address is left out, and a host that moves into a subnet is", async () => {
  await withEtcdOverlay(async ({ lab, libc, server }) => {
    const [h1] = hostsOf(lab);
    const folder = `${ETCD_PREFIX}/subnets/`;
    const node = `${folder}10.244.250.0-24`;
    const untilNamed = async (part: string) => {
      let said = "";
      await within(`hear of ${part}`, DEADLINE_MS, async () => {
        said = JSON.stringify((await statusOf(libc, h1))?.pass.faults);
        return said.includes(part);
      }, () => said);
    };
    await server.put(node, flannelValue("10.244.0.7", "0e:00:00:00:00:97"));
    await within("see the host used", DEADLINE_MS, async () => {
      return (await ip(h1, "route", "show", "10.244.250.0/24")) !== "";
    });
    await server.put(`${folder}10.244.0.0-24`, flannelValue("192.0.2.99", "0e:00:00:00:00:99"));
    await untilNamed("covers 10.244.0.7, the underlay address of 10.244.250.0-24");
    await server.put(node, flannelValue("192.0.2.97", "0e:00:00:00:00:97"));
    await within("see both used", DEADLINE_MS, async () => {
      return (await statusOf(libc, h1))?.pass.faults.length === 0;
    });
    await server.put(node, flannelValue("10.244.0.7", "0e:00:00:00:00:97"));
    await untilNamed("10.244.0.7 lies in 10.244.0.0/24, the subnet of 10.244.0.0-24");
  });
});

Deno.test("a host whose key another has taken is not ready for as long as there is no other subnet", async () => {
  await withEtcdOverlay(async ({ lab, libc, server }) => {
    const [h1] = hostsOf(lab);
    const { key } = leaseOf(await etcdAccess(server).leases(), h1);
    const folder = `${ETCD_PREFIX}/subnets/`;
    const halves = ["10.244.0.0-17", "10.244.128.0-17"];
    await server.putAll([
      ...halves.map((half, at) =>
        [folder + half, flannelValue(`192.0.2.${97 + at}`, `0e:00:00:00:00:${97 + at}`)] as const
      ),
      [folder + key, flannelValue("192.0.2.99", "0e:00:00:00:00:99")],
    ]);
    let said = "";
    await within("see it not ready", DEADLINE_MS, async () => {
      const status = await statusOf(libc, h1);
      said = JSON.stringify(status);
      return status?.ready === false && said.includes("192.0.2.99");
    }, () => said);
    for (const half of halves) await server.delete(folder + half);
    await untilReady(libc, h1);
  });
});
