import { assertEquals, assertThrows } from "@std/assert";
import { DumpInterruptedError, NetlinkClient } from "../../src/netlink/client.ts";
import { Libc } from "../../src/linux/libc.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";
import { describeRow } from "../../src/reconcile/apply.ts";
import { Observer } from "../../src/reconcile/observe.ts";
import { reconcileOnce } from "../../src/reconcile/reconciler.ts";
import { counting, interrupting } from "../double/refusing.ts";
import { TABLES } from "../double/overlay_state.ts";
import { TestHost } from "../double/test_host.ts";
import { linkIndexOf } from "../double/netns.ts";
import { routeTable } from "../netlink/golden.ts";
import { scenarios } from "../scenarios.ts";

const BUSY = scenarios(2).find(({ name }) => name === "three peers")!.remote;

/** What an observer of `host` reads of the tables, a line a row. */
function look(host: TestHost, transport: NetlinkTransport): string[] {
  const { state } = host.deps(BUSY).desire()!;
  const { links } = state;
  const observer = new Observer(new NetlinkClient(transport));
  const linkIndexes = observer.links(links).map((link) => link?.linkIndex ?? 0);
  const tables = observer.tables(state, linkIndexes);
  return TABLES.flatMap((name) => {
    const { words, count, layout } = tables[name];
    return Array.from({ length: count }, (_, row) => describeRow(name, words, row * layout.words, links));
  }).sort();
}

Deno.test("Observer reads a table once that changed under it, and keeps nothing of what it read before", async () => {
  using libc = new Libc();
  await using host = await TestHost.open(libc);
  host.reconcile(BUSY);
  const settled = look(host, host.transport);
  assertEquals(settled.length, 9);
  for (const times of [1, 2, 5]) assertEquals(look(host, interrupting(host.transport, times)), settled);
});

Deno.test("Observer gives up on a table that changes under every look", async () => {
  using libc = new Libc();
  await using host = await TestHost.open(libc);
  host.reconcile(BUSY);
  assertThrows(() => look(host, interrupting(host.transport, 100)), DumpInterruptedError);
  assertEquals(look(host, host.transport).length, 9);
});

Deno.test("Observer looks for what is ours elsewhere, and not on a link that is not there", async () => {
  using libc = new Libc();
  await using host = await TestHost.open(libc);
  const counted = counting(host.transport);
  assertEquals(look(host, counted), []);
  assertEquals([counted.dumps, counted.queries, counted.writes], [1, 1, 0]);
});

type Owner = "ours" | "foreign" | "nobody's business";

/** Routes as arguments of `ip route add`, and whose they are: as a rule, while flannel's are adopted. */
const owned: [route: string, owner: Owner, adopting: Owner, why: string][] = [
  ["NET9 dev VTEP proto 76", "ours", "ours", "its peer has left"],
  ["NET9 dev VTEP", "ours", "ours", "flanneld left it on the VTEP"],
  ["NET9 dev VTEP proto static", "foreign", "foreign", "an administrator set it"],
  ["NET9 dev VTEP proto kernel", "foreign", "foreign", "the kernel made it for an address"],
  ["NET9 via GATE proto 76", "ours", "ours", "it is a direct route of ours"],
  ["NET9 via GATE", "foreign", "ours", "on the underlay any program says `boot`"],
  ["NET9 via GATE mtu 1300", "foreign", "foreign", "flannel sets no MTU"],
  ["NET9 via GATE metric 7", "foreign", "foreign", "flannel sets no metric"],
  ["NET9 dev eth0", "foreign", "foreign", "flannel's have a gateway"],
  ["NET9 via GATE onlink dev eth0", "foreign", "foreign", "flannel's over the underlay are not onlink"],
  ["NET9 via GATE proto static", "foreign", "foreign", "flannel says `boot`"],
  ["NET9 dev other0 proto 76", "ours", "ours", "a former backend or underlay left it"],
  ["NET9 dev other0", "foreign", "foreign", "any program may have made it"],
  ["NET9 dev former", "ours", "ours", "the VTEP is a former one of ours"],
  ["NET9 dev former proto static", "foreign", "foreign", "an administrator set it on a former one"],
  ["blackhole NET9 proto 76 metric 4294967295", "ours", "ours", "it is not asked for any more"],
  ["unreachable NET9", "foreign", "foreign", "flannel makes no such route"],
  ["WHOLE dev VTEP", "ours", "ours", "it takes the whole cluster network"],
  ["ELSEWHERE dev VTEP proto 76", "nobody's business", "nobody's business", "it is outside the network"],
  ["ELSEWHERE via GATE", "nobody's business", "nobody's business", "it is outside the network"],
  ["WIDER dev VTEP proto 76", "nobody's business", "nobody's business", "it is wider than the network"],
  ["NET9 dev VTEP table 100", "nobody's business", "nobody's business", "it is in another table"],
];
const NAMES = {
  2: {
    NET9: "10.244.9.0/24",
    GATE: "192.0.2.77",
    VTEP: "flannel.1",
    WHOLE: "10.244.0.0/16",
    ELSEWHERE: "203.0.113.0/24",
    WIDER: "10.244.0.0/15",
  },
  10: {
    NET9: "fd00:10:244:9::/64",
    GATE: "2001:db8::77",
    VTEP: "flannel-v6.1",
    WHOLE: "fd00:10:244::/48",
    ELSEWHERE: "2001:db8:77::/64",
    WIDER: "fd00:10::/32",
  },
} as const;

for (const family of [2, 10] as const) {
  const name = family === 2 ? "IPv4" : "IPv6";
  Deno.test(`Observer says whose a route is, ${name}`, async (t) => {
    using libc = new Libc();
    await using host = await TestHost.open(libc, { family, vxlan: { directRouting: true } });
    host.reconcile([]);
    const { netns } = host;
    await netns.ip("link", "add", "other0", "type", "veth", "peer", "name", "former");
    for (const link of ["other0", "former"]) await netns.ip("link", "set", link, "up");
    const former = await linkIndexOf(netns, "former");
    let isAdopting = false;
    const observer = new Observer(new NetlinkClient(host.transport), {
      isAdopting: () => isAdopting,
      formerLinks: () => [former],
    });
    const { state } = host.deps([]).desire()!;
    const counts = () => {
      const linkIndexes = observer.links(state.links).map((link) => link!.linkIndex);
      const { routes, foreignRoutes } = observer.tables(state, linkIndexes);
      return [routes.count, foreignRoutes.count];
    };
    const before = counts();
    for (const [pattern, asRule, adopting, why] of owned) {
      const route = pattern.replaceAll(/[A-Z]+9?/g, (name) => NAMES[family][name as "NET9"] ?? name);
      for (const [value, owner] of [[false, asRule], [true, adopting]] as const) {
        const verdict = owner === "nobody's business" ? owner : `${owner}${value ? " while it adopts" : ""}`;
        await t.step(`\`${route}\` is ${verdict}: ${why}`, async () => {
          isAdopting = value;
          const version = family === 2 ? "-4" : "-6";
          await netns.ip(version, "route", "add", ...route.split(" "));
          const [ours, foreign] = counts();
          await netns.ip(version, "route", "delete", ...route.split(" "));
          const found = ours! > before[0]! ? "ours" : foreign! > before[1]! ? "foreign" : "nobody's business";
          assertEquals(found, owner);
          assertEquals(counts(), before);
        });
      }
    }
  });
}

Deno.test("Observer tells by which link of the kernel's a foreign route leaves, and by which object", async () => {
  using libc = new Libc();
  await using host = await TestHost.open(libc);
  host.reconcile([]);
  const { netns } = host;
  await netns.ip("nexthop", "add", "id", "5", "via", "192.0.2.9", "dev", "eth0");
  await netns.ip("route", "add", "10.244.7.0/24", "nhid", "5", "proto", "bgp");
  await netns.ip("route", "add", "10.244.8.0/24", "via", "192.0.2.9", "metric", "5");
  const { state } = host.deps([]).desire()!;
  const observer = new Observer(new NetlinkClient(host.transport));
  const linkIndexes = observer.links(state.links).map((link) => link!.linkIndex);
  const { foreignRoutes } = observer.tables(state, linkIndexes);
  const slot = host.underlay.linkIndex;
  assertEquals(
    foreignRoutes.words,
    routeTable([
      { to: "10.244.7.0/24", slot, objectId: 5, protocol: 186 },
      { to: "10.244.8.0/24", slot, via: "192.0.2.9", metric: 5, protocol: 3 },
    ]).words,
  );
});

Deno.test("Observer.linkIndexes are those of the last look, so that a link that is gone is nobody's", async () => {
  using libc = new Libc();
  await using host = await TestHost.open(libc);
  host.reconcile(BUSY);
  const { links } = host.deps([]).desire()!.state;
  const observer = new Observer(new NetlinkClient(host.transport));
  assertEquals(observer.linkIndexes, []);
  const [vtep] = observer.links(links);
  assertEquals(observer.linkIndexes, [vtep!.linkIndex]);
  await host.netns.ip("link", "delete", "flannel.1");
  assertEquals(observer.links(links), [undefined]);
  assertEquals(observer.linkIndexes, []);
});

Deno.test("reconcileOnce() tells once of a VTEP that it has made, and not of one that it has mended", async () => {
  using libc = new Libc();
  await using host = await TestHost.open(libc);
  const created: string[] = [];
  const deps = host.deps(BUSY);
  const pass = () => reconcileOnce({ ...deps, linkCreated: (name) => created.push(name) });
  pass();
  assertEquals(created, ["flannel.1"]);
  await host.netns.ip("link", "set", "flannel.1", "mtu", "1280");
  pass();
  assertEquals(created, ["flannel.1"]);
  await host.netns.ip("link", "delete", "flannel.1");
  pass();
  assertEquals(created, ["flannel.1", "flannel.1"]);
});

Deno.test("Observer.links() knows by name what a VTEP is enslaved to, and a free one as free", async () => {
  using libc = new Libc();
  await using host = await TestHost.open(libc);
  host.reconcile(BUSY);
  const { links } = host.deps([]).desire()!.state;
  const observer = new Observer(new NetlinkClient(host.transport));
  const master = () =>
    observer.links(links).map((link) => [link?.masterIndex !== undefined, link?.masterName]);
  assertEquals(master(), [[false, undefined]]);
  await host.netns.ip("link", "add", "br9", "type", "bridge");
  await host.netns.ip("link", "set", "flannel.1", "master", "br9");
  assertEquals(master(), [[true, "br9"]]);
  host.reconcile(BUSY);
  assertEquals(master(), [[false, undefined]]);
  assertEquals(host.drift(BUSY), { links: [], tables: [] });
});
