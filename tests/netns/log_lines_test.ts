import { assert, assertEquals, assertMatch } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { formatPrefix } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { queryLink } from "../../src/rtnetlink/link.ts";
import { encodeRouteDeletion } from "../double/route_deletion.ts";
import { readMetrics } from "../double/metrics_text.ts";
import { httpGet } from "../double/overlay_http.ts";
import { hostsOf, logSince, until, untilReady, untilSettled, withOverlay } from "../double/overlay_rig.ts";
import { ip } from "../double/overlay_standing.ts";

type Line = Readonly<Record<string, unknown>>;

/** Waits for a line that an agent writes after those that it had. */
function untilLine(host: LabHost, since: number, is: (line: Line) => boolean): Promise<Line> {
  return until(`read a line of ${host.name}`, async () => (await logSince(host, since)).find(is));
}

async function passesOf(libc: Libc, { netns }: LabHost): Promise<number> {
  const answer = await until("read the metrics", () => httpGet(libc, netns, "/metrics"));
  return readMetrics(answer.body).get("loden_passes_total")!;
}

Deno.test("the line about a repair names what was changed, and by whom as far as the kernel tells", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    const subnet = h2.share.subnets[0]!;
    const route = `route ${formatPrefix(subnet)}`;

    // A program that runs on: this one, which has a socket in the host's namespace.
    let since = (await h1.logLines()).length;
    h1.client.request("delete a route", (writer, sequence) => encodeRouteDeletion(writer, sequence, subnet));
    let line = await untilLine(h1, since, ({ table }) => table === "routes");
    assertEquals(line["which"], [route]);
    assertEquals(line["by"], `deno (process ${Deno.pid})`);

    // One that has ended, as a command of a script.
    since = (await h1.logLines()).length;
    const { address } = subnet;
    await ip(
      h1,
      "neigh",
      "delete",
      formatPrefix({ address, length: 32 }).replace("/32", ""),
      "dev",
      "flannel.1",
    );
    line = await untilLine(h1, since, ({ table }) => table === "neighbours");
    assertMatch(String(line["by"]), /^(ip|a program that has ended) \(process \d+\)$|^process \d+$/);

    // Of a link that is set down the kernel does not tell.
    since = (await h1.logLines()).length;
    await ip(h1, "link", "set", "flannel.1", "down");
    line = await untilLine(h1, since, ({ event }) => event === "link changed");
    assertEquals([line["action"], line["found"]], ["change link flannel.1", "down"]);
    await until(
      "see the routes made again",
      async () => (await logSince(h1, since)).some(({ table }) => table === "routes") || undefined,
    );
    for (const each of await logSince(h1, since)) assertEquals(each["by"], undefined, JSON.stringify(each));
  });
});

Deno.test("an agent at rest says nothing, however many passes it makes", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1] = hostsOf(lab);
    await h1.stopAgent();
    h1.startAgent(["-resync=1"]);
    await untilReady(libc, h1);
    const first = await passesOf(libc, h1);
    await until("see it at rest", async () => await passesOf(libc, h1) >= first + 3 || undefined);
    const before = await h1.logLines();
    await until("see more passes", async () => await passesOf(libc, h1) >= first + 15 || undefined);
    assertEquals((await h1.logLines()).slice(before.length), []);
  });
});

Deno.test("an agent says within seconds that packets can't be encapsulated, by which counter, and says it once", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1] = hostsOf(lab);
    const since = (await h1.logLines()).length;
    assert(queryLink(h1.client, "flannel.1") !== undefined);
    // A place beside the overlay's own rows, which lead to a host that has no MAC there.
    await ip(h1, "route", "add", "198.51.100.0/24", "dev", "flannel.1");
    await ip(h1, "neigh", "add", "198.51.100.1", "lladdr", "0e:2a:00:00:00:99", "dev", "flannel.1");
    const line = await until("read of lost packets", async () => {
      await h1.netns.exec("ping", "-q", "-c", "20", "-i", "0.01", "-w", "1", "198.51.100.1");
      return (await logSince(h1, since)).find(({ event }) => event === "packets lost");
    });
    assertEquals([line["level"], line["link"]], ["warn", "flannel.1"]);
    await h1.netns.exec("ping", "-q", "-c", "2000", "-i", "0.002", "-w", "12", "198.51.100.1");
    const lines = (await logSince(h1, since)).filter(({ event }) => event === "packets lost");
    assertEquals(lines.length, 1, JSON.stringify(lines));
    assert(Number((line["rose"] as Line)["tx_dropped"]) >= 10, JSON.stringify(line));
  });
});
