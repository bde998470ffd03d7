import { assertEquals, assertLess } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { formatPrefix } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { httpGet } from "../double/overlay_http.ts";
import { hostsOf, until, untilReady, untilSettled, withOverlay } from "../double/overlay_rig.ts";
import { ip } from "../double/overlay_standing.ts";

// What other programs do all the time on a host, and is none of an agent's business.

/** While the noise goes on, on a busy machine too; the next pass is an hour away. */
const AT_ONCE_MS = 3000;
const ROUNDS = 20;

/** One round of noise in a host's namespace, as a shell's lines. */
const NOISE = `
  ip neigh replace 192.0.2.200 lladdr 02:00:00:00:00:01 dev eth0 nud reachable
  ip neigh replace 192.0.2.200 lladdr 02:00:00:00:00:01 dev eth0 nud stale
  ip route add 198.51.100.0/24 proto bird nexthop via 192.168.9.2 dev other0 nexthop via 192.168.9.3 dev other0
  ip route delete 198.51.100.0/24
  ip route add 198.51.100.0/24 via 192.0.2.250 dev eth0 onlink
  ip route delete 198.51.100.0/24
  ip address add 192.168.10.1/24 dev other0
  ip address delete 192.168.10.1/24 dev other0
  ip link set other1 down
  ip link set other1 up
  ip rule add priority 90 to 203.0.113.0/24 lookup 90
  ip route add 203.0.113.0/24 via 192.0.2.250 dev eth0 onlink table 90
  ip route delete 203.0.113.0/24 table 90
  ip rule delete priority 90
  nft add rule ip nat x counter
  nft add chain ip nat y
  nft delete chain ip nat y`;

async function passesOf(libc: Libc, host: LabHost): Promise<number> {
  const { body } = await until("read the metrics", () => httpGet(libc, host.netns, "/metrics"));
  return Number(/^loden_passes_total (\d+)/m.exec(body)![1]);
}

for (const Type of ["vxlan", "auto", "host-gw"]) {
  Deno.test(`noise of other programs asks for no pass of ${Type}, and a route that is deleted amid it is back at once`, async () => {
    const networkConfig = { Network: "10.244.0.0/16", Backend: { Type } };
    await withOverlay({ hosts: 2, networkConfig }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1, h2] = hostsOf(lab);
      await h1.stopAgent();
      await h1.netns.mustExec(
        "sh",
        "-ec",
        `ip link add other0 type veth peer name other1
         ip link set other0 up; ip link set other1 up; ip address add 192.168.9.1/24 dev other0
         nft add table ip nat; nft add chain ip nat x`,
      );
      h1.startAgent(["-resync=3600"]);
      await untilReady(libc, h1);
      const round = () => h1.netns.mustExec("sh", "-ec", NOISE);
      await round();
      // The first look at what was new, if there was one, is over.
      let before = -1;
      await until("see it at rest", async () => {
        const now = await passesOf(libc, h1);
        const isSame = now === before;
        before = now;
        return isSame || undefined;
      });
      for (let times = 0; times < ROUNDS; times++) await round();
      assertEquals(await passesOf(libc, h1), before);

      const controller = new AbortController();
      const noise = (async () => {
        while (!controller.signal.aborted) await round();
      })();
      try {
        const subnet = formatPrefix(h2.share.subnets[0]!);
        for (let times = 0; times < 3; times++) {
          await ip(h1, "route", "delete", subnet);
          const startMs = performance.now();
          await until(
            `see ${subnet} again`,
            async () => await ip(h1, "route", "show", subnet) !== "" || undefined,
          );
          assertLess(performance.now() - startMs, AT_ONCE_MS);
        }
      } finally {
        controller.abort();
        await noise;
      }
    });
  });
}
