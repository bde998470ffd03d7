import { assert, assertEquals, assertMatch } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { formatPrefix } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { readMetrics } from "../double/metrics_text.ts";
import { httpGet } from "../double/overlay_http.ts";
import { hostsOf, until, untilSettled, withOverlay } from "../double/overlay_rig.ts";
import { ip } from "../double/overlay_standing.ts";

const OPENMETRICS = "application/openmetrics-text;version=1.0.0";

async function scrape(libc: Libc, host: LabHost, accept?: string): Promise<string> {
  const { status, body } = await until(
    "read the metrics",
    () => httpGet(libc, host.netns, "/metrics", undefined, accept),
  );
  assertEquals(status, 200);
  return body;
}

/** What `promtool check metrics` finds; nothing if all is as it should be. */
async function faultsOf(text: string): Promise<string> {
  const promtool = new Deno.Command("promtool", {
    args: ["check", "metrics"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = promtool.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { code, stdout, stderr } = await promtool.output();
  return code === 0 && stderr.length === 0
    ? ""
    : new TextDecoder().decode(stderr) + new TextDecoder().decode(stdout);
}

Deno.test("the metrics of real agents are as promtool asks, count a repair with its time, and what links carry", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    for (const host of [h1, h2]) assertEquals(await faultsOf(await scrape(libc, host)), "");
    assertMatch(
      await scrape(libc, h1, OPENMETRICS),
      /# UNIT loden_repair_duration_seconds seconds\n[\s\S]*\n# EOF\n$/,
    );

    const before = readMetrics(await scrape(libc, h1));
    const of = (name: string, labels = "") => before.get(`${name}${labels}`);
    assertEquals(of("loden_ready"), 1);
    assertEquals(of("loden_peers", '{family="ipv4",state="reached"}'), 1);
    assertEquals(of("loden_errors_total", '{kind="loop"}'), 0);
    assertEquals(of("loden_notification_overruns_total"), 0);
    assert(of("loden_lease_expiry_timestamp_seconds")! > Date.now() / 1000);
    assert(of("loden_registry_staleness_seconds")! < 60);
    assert(of("process_resident_memory_bytes")! > 1e7);
    assert(of("process_open_fds")! > 5);
    for (const [link, role] of [["flannel.1", "vtep"], ["eth0", "underlay"], ["cni0", "bridge"]]) {
      const labels = `{link="${link}",role="${role}"}`;
      assert(of("loden_link_transmit_packets_total", labels)! > 0, `${link} has sent nothing`);
      assertEquals(of("loden_link_transmit_errors_total", labels), 0);
    }
    const routes = 'loden_steps_total{kind="route",result="done"}';
    const repairs = "loden_repair_duration_seconds_count";
    assertEquals(before.get(routes)! > 0, true);

    await ip(h1, "route", "delete", formatPrefix(h2.share.subnets[0]!));
    await until("see the repair counted", async () => {
      const now = readMetrics(await scrape(libc, h1));
      return now.get(repairs)! > before.get(repairs)! && now.get(routes)! > before.get(routes)! || undefined;
    });
    const after = readMetrics(await scrape(libc, h1));
    const took = after.get("loden_repair_duration_seconds_sum")! -
      before.get("loden_repair_duration_seconds_sum")!;
    assert(took > 0 && took < 5, `the repair took ${took} s`);
  });
});
