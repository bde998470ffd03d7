import { assertEquals, assertThrows } from "@std/assert";
import { DumpInterruptedError, NetlinkClient } from "../../src/netlink/client.ts";
import { Libc } from "../../src/netlink/ffi.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";
import { describeRow } from "../../src/reconcile/apply.ts";
import { Observer } from "../../src/reconcile/observe.ts";
import { reconcileOnce } from "../../src/reconcile/reconciler.ts";
import { counting, interrupting } from "../double/refusing.ts";
import { TABLES } from "../double/overlay_state.ts";
import { TestHost } from "../double/test_host.ts";
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
  const observer = new Observer(new NetlinkClient(host.transport), { hasNextHopObjects: true });
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
