import { UPLINK } from "../../src/lab/host.ts";
import { AF_INET, AF_INET6, formatAddress } from "../../src/model/address.ts";
import {
  hostsOf,
  untilReachable,
  untilReady,
  untilSettled,
  untilUnready,
  withOverlay,
} from "../double/overlay_rig.ts";
import { ip } from "../double/overlay_standing.ts";

for (const [version, name, index] of [["-4", "IPv4", 0], ["-6", "IPv6", 1]] as const) {
  for (const backend of [{ Type: "vxlan" }, { Type: "vxlan", DirectRouting: true }]) {
    const kind = "DirectRouting" in backend ? "DirectRouting" : "vxlan";
    Deno.test(`a host without a way to its peers' underlay addresses is not ready, ${name}, ${kind}`, async () => {
      const networkConfig = {
        Network: "10.244.0.0/16",
        EnableIPv6: true,
        IPv6Network: "fd00:10:244::/56",
        Backend: backend,
      };
      await withOverlay({ hosts: 2, families: [AF_INET, AF_INET6], networkConfig }, async (lab, libc) => {
        await untilSettled(lab, libc);
        const [h1, h2] = hostsOf(lab);
        const peer = formatAddress(h2.underlayAddresses[index]!);
        const host = `${peer}/${version === "-4" ? 32 : 128}`;
        const cut = `reaches none of the other hosts in ${name}`;
        const ways: readonly (readonly [route: readonly string[], why: string])[] = [
          [["unreachable", host], version === "-4" ? "this host has no route to it" : "no route to it"],
          [["blackhole", host], "route"],
          [
            [host, "dev", version === "-4" ? "flannel.1" : "flannel-v6.1"],
            "its route leads into the overlay itself",
          ],
        ];
        for (const [route, why] of ways) {
          await ip(h1, version, "route", "add", ...route);
          await untilUnready(libc, h1, cut);
          await untilUnready(libc, h1, why);
          await ip(h1, version, "route", "delete", ...route);
          await untilReady(libc, h1);
        }
        await untilReachable(lab);
      });
    });
  }
}

Deno.test("a host whose way to all others was its default route is not ready without it, also after a restart", async () => {
  await withOverlay({ hosts: 2, networkConfig: { Network: "10.244.0.0/16" } }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    const [own] = h1.underlayAddresses.map(formatAddress);
    const [peer] = h2.underlayAddresses.map(formatAddress);
    // Addresses of their own, and a gateway: the other host itself will do.
    await ip(h1, "route", "replace", "default", "via", peer!, "dev", UPLINK, "onlink");
    await ip(h1, "address", "add", `${own}/32`, "dev", UPLINK);
    await ip(h1, "address", "delete", `${own}/24`, "dev", UPLINK);
    await ip(h1, "route", "replace", "default", "via", peer!, "dev", UPLINK, "onlink");
    await untilReady(libc, h1);
    await untilReachable(lab);
    await ip(h1, "route", "delete", "default");
    await untilUnready(libc, h1, `is at ${peer}, and this host has no route to it`);
    await h1.stopAgent();
    h1.startAgent();
    await untilUnready(libc, h1, `is at ${peer}, and this host has no route to it`);
    await ip(h1, "route", "add", "default", "via", peer!, "dev", UPLINK, "onlink");
    await untilReady(libc, h1);
    await untilReachable(lab);
  });
});
