import { assert, assertEquals } from "@std/assert";
import { UPLINK } from "../../src/lab/host.ts";
import { AF_INET, AF_INET6, formatAddress, formatPrefix, type Ipv6 } from "../../src/model/address.ts";
import {
  hostsOf,
  statusOf,
  until,
  untilReachable,
  untilReady,
  untilSettled,
  untilUnready,
  withOverlay,
} from "../double/overlay_rig.ts";
import { ip } from "../double/overlay_standing.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";
import {
  BACKENDS,
  DUAL,
  halvesOf,
  routesTo,
  untilNamed,
  untilNamedOnce,
  untilNobodyIsLeftOut,
} from "../double/overlay_foreign.ts";

for (const type of BACKENDS) {
  Deno.test(`a foreign next hop beside ours is named and stays, also when ours goes, ${type}`, async () => {
    const networkConfig = { Network: "10.244.0.0/16", ...DUAL, Backend: { Type: type } };
    await withOverlay({ hosts: 3, families: [AF_INET, AF_INET6], networkConfig }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1, h2, h3] = hostsOf(lab);
      const subnet = h2.share.subnets[1]!;
      const via = formatAddress(h3.underlayAddresses[1]!);
      await using ping = await RunningPing.start(h1, h3);
      // The kernel makes one route of both, which has the protocol of the first.
      const theirs = [formatPrefix(subnet), "via", via, "dev", UPLINK, "proto", "static", "metric", "1024"];
      await ip(h1, "-6", "route", "append", ...theirs);
      const stands = async () => (await routesTo(h1, subnet)).join("\n").includes(`via ${via} dev ${UPLINK}`);
      const ours = async () =>
        (await ip(h1, "-6", "route", "show", "proto", "76")).includes(formatPrefix(subnet)) &&
        (await routesTo(h1, subnet)).length > 0;
      const said = `${
        formatPrefix(subnet)
      } via ${via} dev ${UPLINK} metric 1024 (one of several next hops), which`;
      await untilNamedOnce(libc, h1, h2, said);
      assert(await stands(), "it is gone");
      assert(await ours(), "ours is gone");
      await h1.stopAgent();
      // As if the peer had moved meanwhile: the first next hop is one of ours that leads to where it was.
      await ip(h1, "-6", "route", "delete", formatPrefix(subnet));
      const gone = ["via", formatAddress(h2.underlayAddresses[1]! as bigint + 77n as Ipv6), "dev", UPLINK];
      await ip(h1, "-6", "route", "add", formatPrefix(subnet), ...gone, "metric", "1024", "proto", "76");
      await ip(h1, "-6", "route", "append", ...theirs);
      h1.startAgent();
      await until("see theirs alone", async () => {
        return (await routesTo(h1, subnet)).join() === theirs.join(" ") + " pref medium" || undefined;
      });
      await untilNamedOnce(libc, h1, h2, `${formatPrefix(subnet)} via ${via} dev ${UPLINK} `);
      await ip(h1, "-6", "route", "delete", ...theirs);
      await untilNobodyIsLeftOut(libc, lab);
      await untilReachable(lab);
      await ping.untilMore(20);
      await assertNoneLost([ping]);
      await h1.stopAgent();
      h1.startAgent(["-take-foreign-routes"]);
      await untilReady(libc, h1);
      await ip(h1, "-6", "route", "append", ...theirs);
      await until("see it taken over", async () => !await stands() || undefined);
      assert(await ours(), "ours is gone with theirs");
      await untilNobodyIsLeftOut(libc, lab);
    });
  });
}

Deno.test("an IPv4 route appended behind ours with its metric is nobody's fault, one prepended is named", async () => {
  await withOverlay({ hosts: 2, networkConfig: { Network: "10.244.0.0/16" } }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    const [subnet] = h2.share.subnets;
    const [own = ""] = await routesTo(h1, subnet!);
    const metric = / metric (\d+)/.exec(own)![1]!;
    await using ping = await RunningPing.start(h1, h2);
    const theirs = ["unreachable", formatPrefix(subnet!), "metric", metric, "proto", "static"];
    await ip(h1, "route", "append", ...theirs);
    // A fault that comes after it is told: so that one was looked at. No pod is in that part.
    const [, part] = halvesOf(subnet!);
    await ip(h1, "route", "add", "unreachable", part);
    await untilNamed(libc, h1, h2, `unreachable ${part}`);
    await ip(h1, "route", "delete", "unreachable", part);
    await untilNobodyIsLeftOut(libc, lab);
    assertEquals((await routesTo(h1, subnet!)).length, 2);
    await ping.untilMore(20);
    await assertNoneLost([ping]);
    await ip(h1, "route", "delete", ...theirs);
    await ip(h1, "route", "prepend", ...theirs);
    await untilNamed(libc, h1, h2, `unreachable ${formatPrefix(subnet!)} proto static metric ${metric}`);
    assertEquals((await routesTo(h1, subnet!)).length, 2);
  });
});

for (const version of ["-4", "-6"] as const) {
  Deno.test(`a host whose peers' subnets others' routes take part by part is not ready, ${version}`, async () => {
    const networkConfig = { Network: "10.244.0.0/16", ...DUAL };
    await withOverlay({ hosts: 2, families: [AF_INET, AF_INET6], networkConfig }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1, h2] = hostsOf(lab);
      const subnet = h2.share.subnets[version === "-4" ? 0 : 1]!;
      const [first, second] = halvesOf(subnet);
      await ip(h1, version, "route", "add", "blackhole", first, "proto", "static");
      await untilNamedOnce(libc, h1, h2, "takes a part of");
      await untilReady(libc, h1);
      await ip(h1, version, "route", "add", "blackhole", second, "proto", "static");
      await untilUnready(
        libc,
        h1,
        `reaches none of the other hosts in ${version === "-4" ? "IPv4" : "IPv6"}, so`,
      );
      await ip(h1, version, "route", "delete", "blackhole", second);
      await untilReady(libc, h1);
    });
  });
}

for (const version of ["-4", "-6"] as const) {
  Deno.test(`another program's route into this host's own subnet is named, and stops it where it takes all, ${version}`, async () => {
    const networkConfig = { Network: "10.244.0.0/16", ...DUAL };
    await withOverlay({ hosts: 2, families: [AF_INET, AF_INET6], networkConfig }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1] = hostsOf(lab);
      const subnet = h1.share.subnets[version === "-4" ? 0 : 1]!;
      const [first, second] = halvesOf(subnet);
      await ip(h1, version, "route", "add", "blackhole", first, "proto", "static");
      const said = "takes a part of this host's own subnet";
      await until("see it noted", async () => {
        const notes = (await statusOf(libc, h1))?.notes ?? [];
        return notes.some((note) => note.includes(said)) || undefined;
      });
      await ip(h1, version, "route", "add", "blackhole", second, "proto", "static");
      await untilUnready(libc, h1, "takes the packets for this host's own subnet");
      await ip(h1, version, "route", "delete", "blackhole", first);
      await ip(h1, version, "route", "delete", "blackhole", second);
      await untilReady(libc, h1);
      await untilReachable(lab);
      const whole = ["blackhole", formatPrefix(subnet), "metric", version === "-4" ? "0" : "7"];
      await ip(h1, version, "route", version === "-4" ? "prepend" : "add", ...whole);
      await untilUnready(libc, h1, "takes the packets for this host's own subnet");
      await ip(h1, version, "route", "delete", ...whole);
      await untilReady(libc, h1);
    });
  });
}

Deno.test("a host whose peers are each reached in another family is ready, and names who is not", async () => {
  const networkConfig = { Network: "10.244.0.0/16", ...DUAL };
  await withOverlay({ hosts: 3, families: [AF_INET, AF_INET6], networkConfig }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2, h3] = hostsOf(lab);
    await ip(h1, "-4", "route", "add", "blackhole", formatPrefix(h2.share.subnets[0]!));
    await ip(h1, "-6", "route", "add", "blackhole", formatPrefix(h3.share.subnets[1]!), "metric", "1");
    for (const peer of [h2, h3]) await untilNamedOnce(libc, h1, peer, "not ours");
    await untilReady(libc, h1);
    await ip(h1, "-4", "route", "add", "blackhole", formatPrefix(h3.share.subnets[0]!));
    await untilUnready(libc, h1, "reaches none of the other hosts in IPv4");
  });
});

Deno.test("a foreign route that comes and goes all the time fills no log", async () => {
  await withOverlay({ hosts: 2, networkConfig: { Network: "10.244.0.0/16" } }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    const [subnet] = h2.share.subnets;
    const route = ["unreachable", formatPrefix(subnet!), "metric", "1"];
    for (let n = 0; n < 30; n++) {
      await ip(h1, "route", "add", ...route);
      await untilNamed(libc, h1, h2, "not ours");
      await ip(h1, "route", "delete", ...route);
      await untilNobodyIsLeftOut(libc, lab);
    }
    const lines = await h1.logLines();
    const of = (event: string, code = "") =>
      lines.filter((line) => line.includes(`"event":"${event}"`) && line.includes(code)).length;
    assertEquals(
      [of("peer left out"), of("condition set", "host-cut-off"), of("condition cleared", "host-cut-off")],
      [1, 1, 1],
    );
  });
});
