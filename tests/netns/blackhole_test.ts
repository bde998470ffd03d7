import { assertEquals } from "@std/assert";
import { withBlackholes } from "../../src/overlay/backend/blackhole.ts";
import { hostGwBackend } from "../../src/overlay/backend/host_gw.ts";
import type { Family } from "../../src/model/address.ts";
import { Libc } from "../../src/linux/libc.ts";
import { TestHost, type TestHostOptions } from "../double/test_host.ts";

const PLAIN: TestHostOptions = { backend: (context) => hostGwBackend({}, context) };
const BLACKHOLE: TestHostOptions = { backend: (context) => withBlackholes(hostGwBackend({}, context)) };

const FAMILIES = {
  IPv4: {
    family: 2,
    version: "-4",
    subnet: "10.244.1.0/24",
    gateway: "10.244.1.1",
    gone: "10.244.1.77",
    route: "blackhole 10.244.1.0/24 proto 76 metric 4294967295",
  },
  IPv6: {
    family: 10,
    version: "-6",
    subnet: "fd00:10:244:1::/64",
    gateway: "fd00:10:244:1::1",
    gone: "fd00:10:244:1::77",
    route: "blackhole fd00:10:244:1::/64 dev lo proto 76 metric 4294967295 pref medium",
  },
} as const;

for (const [name, { family, version, subnet, gateway, gone, route }] of Object.entries(FAMILIES)) {
  const open = (libc: Libc, options: TestHostOptions) =>
    TestHost.open(libc, { family: family as Family, ...options });
  const lookUp = (host: TestHost) => host.netns.run("ip", version, "route", "get", gone);

  Deno.test(`the own subnet is a black hole behind the bridge's route, ${name}`, async () => {
    using libc = new Libc();
    await using host = await open(libc, BLACKHOLE);
    const { netns } = host;
    assertEquals(host.reconcile([]).failures, []);
    assertEquals(await host.show(), [`route ${route}`]);
    assertEquals(host.drift([]), { links: [], tables: [] });
    assertEquals((await lookUp(host)).stderr, "RTNETLINK answers: Invalid argument\n", "nothing goes out");

    await netns.ip("link", "add", "cni0", "type", "bridge");
    await netns.ip("link", "set", "cni0", "up");
    await netns.ip("address", "add", `${gateway}/${subnet.split("/")[1]}`, "dev", "cni0", "nodad");
    assertEquals((await lookUp(host)).stdout.includes("dev cni0"), true, "the bridge comes first");
    assertEquals(host.reconcile([]).planned, 0);
    const connected = await netns.ip(version, "route", "show", "proto", "kernel", "dev", "cni0");
    assertEquals(connected.includes(subnet), true, connected);

    await netns.ip("link", "delete", "cni0");
    assertEquals(await host.show(), [`route ${route}`]);
  });

  Deno.test(`a blackhole route is made where the bridge has its route already, ${name}`, async () => {
    using libc = new Libc();
    await using host = await open(libc, BLACKHOLE);
    await host.netns.ip("link", "add", "cni0", "type", "bridge");
    await host.netns.ip("link", "set", "cni0", "up");
    await host.netns.ip("address", "add", `${gateway}/${subnet.split("/")[1]}`, "dev", "cni0", "nodad");
    assertEquals(host.reconcile([]).failures, []);
    assertEquals(await host.show(), [`route ${route}`]);
    assertEquals((await lookUp(host)).stdout.includes("dev cni0"), true);
  });

  Deno.test(`a blackhole route that is deleted comes back, and goes with its flag, ${name}`, async () => {
    using libc = new Libc();
    await using host = await open(libc, BLACKHOLE);
    host.reconcile([]);
    await host.netns.ip(version, "route", "delete", "blackhole", subnet, "metric", "4294967295");
    assertEquals(await host.show(), []);
    host.reconcile([]);
    assertEquals(await host.show(), [`route ${route}`]);

    // flannel's own has no metric and no protocol of its own: whose it is can't be told.
    await host.netns.ip(version, "route", "add", "blackhole", subnet);
    const flannels = (await host.show()).filter((line) => line !== `route ${route}`);
    assertEquals(flannels.length, 1);
    host.options = { family: family as Family, ...PLAIN };
    assertEquals(host.reconcile([]).failures, []);
    assertEquals(await host.show(), flannels);
  });
}
