import { assert, assertEquals, assertRejects } from "@std/assert";
import { waitUntil } from "../../../src/lab/wait.ts";
import { readNetworkConfigText } from "../../../src/registry/etcd/etcd.ts";
import { LeaseSet } from "../../../src/registry/lease_set.ts";
import type { Lease, LeaseUpdate } from "../../../src/model/lease.ts";
import { EtcdServer } from "../../double/etcd.ts";
import { EtcdHost, flannelValue, request, signal } from "./etcd_world.ts";

const NET = "/coreos.com/network";

/** A server and a host that follows it. */
async function withHost(
  test: (server: EtcdServer, host: EtcdHost) => Promise<void>,
  options: { beatMs?: number } = {},
): Promise<void> {
  await using server = await EtcdServer.open();
  await server.put(`${NET}/subnets/10.5.2.0-24`, flannelValue("192.0.2.2"));
  using host = new EtcdHost(server, NET, { addresses: ["192.0.2.1"], ...options });
  host.follow();
  await host.heard("the first snapshot", isSnapshot);
  await waitUntil("be in contact", () => host.registry.contact.reason === undefined || undefined, {
    deadlineMs: 10_000,
    signal,
  });
  await test(server, host);
}

function isSnapshot(update: LeaseUpdate): update is LeaseUpdate & { kind: "snapshot" } {
  return update.kind === "snapshot";
}

function isHeld(host: string): (update: LeaseUpdate) => boolean {
  return (update) => update.kind === "held" && update.lease.host === host;
}

function isReleased(host: string): (update: LeaseUpdate) => boolean {
  return (update) => update.kind === "released" && update.host === host;
}

function macOf(lease: Lease): unknown {
  return (lease.parts[0]!.backendData as { VtepMAC: string }).VtepMAC;
}

Deno.test("EtcdRegistry.watch() tells of all leases, then of each change", async () => {
  await withHost(async (server, host) => {
    const [first] = host.updates;
    assert(first !== undefined && isSnapshot(first));
    assertEquals(first.leases.map(({ host }) => host), ["10.5.2.0-24"]);
    await server.put(`${NET}/subnets/10.5.3.0-24`, flannelValue("192.0.2.3"));
    await host.heard("the new lease", isHeld("10.5.3.0-24"));
    await server.delete(`${NET}/subnets/10.5.2.0-24`);
    await host.heard("the end of the old one", isReleased("10.5.2.0-24"));
    assertEquals(host.updates.length, 3);
    assert(Date.now() - host.registry.contact.heardAtMs! < 20_000);
  });
});

Deno.test("EtcdRegistry.watch() lets one bad value cost that entry only", async () => {
  await withHost(async (server, host) => {
    const bad = [
      ["10.5.2.0-24", "{"],
      ["10.5.8.0-24", "x".repeat(1 << 20)],
      ["notes", "remember the milk"],
      ["10.5.9.0-24", '{"PublicIP":"`reboot`"}'],
    ] as const;
    for (const [name, value] of bad) await server.put(`${NET}/subnets/${name}`, value);
    await server.put(`${NET}/subnets/10.5.3.0-24`, flannelValue("192.0.2.3"));
    await host.heard("the good lease behind the bad ones", isHeld("10.5.3.0-24"));
    assert(host.updates.some(isReleased("10.5.2.0-24")), "the lease that was good before is given up");
    assertEquals(host.registry.faults.map(({ host }) => host).sort(), bad.map(([name]) => name).sort());
    await server.put(`${NET}/subnets/10.5.2.0-24`, flannelValue("192.0.2.2"));
    await host.heard("the lease that was mended", isHeld("10.5.2.0-24"));
    assertEquals(host.registry.faults.length, 3);
    using late = new EtcdHost(server, NET, { addresses: ["192.0.2.9"] });
    late.follow();
    await late.heard("a snapshot in spite of the bad ones", isSnapshot);
    assertEquals(late.registry.faults.length, 3);
  });
});

Deno.test("EtcdRegistry.watch() goes on where it was when etcd was away, and says so", async () => {
  await withHost(async (server, host) => {
    await server.stop();
    await waitUntil("notice", () => host.registry.contact.reason, { deadlineMs: 20_000, signal });
    assert(
      host.registry.contact.reason!.includes(`etcd at ${server.url}`) ||
        host.registry.contact.reason!.includes("127.0.0.1"),
    );
    await server.start();
    await server.put(`${NET}/subnets/10.5.3.0-24`, flannelValue("192.0.2.3"));
    await host.heard("what changed since", isHeld("10.5.3.0-24"));
    assertEquals(
      host.updates.filter(isSnapshot).length,
      1,
      "nothing was forgotten, so nothing is listed anew",
    );
    assertEquals(host.registry.contact.reason, undefined);
  });
});

Deno.test("EtcdRegistry.watch() begins anew when what it missed was compacted: attributes that changed are seen", async () => {
  await withHost(async (server, host) => {
    await server.put(`${NET}/subnets/10.5.4.0-24`, flannelValue("192.0.2.4"));
    await host.heard("a lease that will end in the gap", isHeld("10.5.4.0-24"));
    await server.stop();
    await waitUntil("notice", () => host.registry.contact.reason, { deadlineMs: 20_000, signal });
    await server.start();
    await server.put(`${NET}/subnets/10.5.2.0-24`, flannelValue("192.0.2.22", "0e:00:00:00:00:99"));
    await server.delete(`${NET}/subnets/10.5.4.0-24`);
    await server.compact();
    await waitUntil("see the gap's changes", () => {
      const leases = new LeaseSet();
      for (const update of host.updates) leases.apply(update);
      const lease = leases.of("10.5.2.0-24");
      return lease !== undefined && macOf(lease) === "0e:00:00:00:00:99" &&
          leases.of("10.5.4.0-24") === undefined ||
        undefined;
    }, { deadlineMs: 20_000, signal });
  });
});

Deno.test("EtcdClient.watch() says that what it is to resume from is compacted", async () => {
  await withHost(async (server, host) => {
    for (let n = 3; n < 6; n++) {
      await server.put(`${NET}/subnets/10.5.${n}.0-24`, flannelValue(`192.0.2.${n}`));
    }
    await server.compact();
    const watch = host.client.watch(`${NET}/subnets/`, 2, { signal });
    const { value } = await watch.next();
    assert(typeof value === "object");
    assertEquals([value.revision, value.changes], [1, []], "nothing was told yet");
    assertEquals(await watch.next(), { done: true, value: "compacted" });
  });
});

Deno.test("EtcdRegistry.watch() tells of its own lease too, when it ends and when it is rewritten", async () => {
  await withHost(async (server, host) => {
    const own = await host.registry.acquire(request("192.0.2.1"), { signal });
    const key = `${NET}/subnets/${own.host}`;
    await server.put(key, flannelValue("192.0.2.66"));
    await host.heard(
      "the foreign value",
      (update) =>
        isHeld(own.host)(update) && update.kind === "held" &&
        update.lease.parts[0]!.underlayAddress !== own.parts[0]!.underlayAddress,
    );
    await server.delete(key);
    await host.heard("the end", isReleased(own.host));
  });
});

Deno.test("EtcdRegistry.watch() notices an etcd that is silent, by asking whether it is there", async () => {
  await withHost(async (server, host) => {
    server.signal("SIGSTOP");
    try {
      await waitUntil("notice", () => host.registry.contact.reason, { deadlineMs: 20_000, signal });
      assert(
        host.registry.contact.reason!.includes("said nothing for 5 s"),
        host.registry.contact.reason,
      );
    } finally {
      server.signal("SIGCONT");
    }
    await server.put(`${NET}/subnets/10.5.3.0-24`, flannelValue("192.0.2.3"));
    await host.heard("what changed since", isHeld("10.5.3.0-24"));
  }, { beatMs: 200 });
});

Deno.test("readNetworkConfigText() reads the configuration, and says how it is written where it is missing", async () => {
  await using server = await EtcdServer.open();
  await assertRejects(
    () => readNetworkConfigText(server.client, NET, { signal }),
    Error,
    `Cannot read the network configuration ${NET}/config: etcd at ${server.url} has no such key (one that was written with ` +
      `etcd's v2 API is not seen); write it: ETCDCTL_API=3 etcdctl put ${NET}/config`,
  );
  await server.put(`${NET}/config`, '{"Network":"10.5.0.0/16"}');
  assertEquals(await readNetworkConfigText(server.client, NET, { signal }), '{"Network":"10.5.0.0/16"}');
});

Deno.test("EtcdRegistry asks the next member when one does not answer", async () => {
  await using server = await EtcdServer.open();
  const access = { ...server.access, endpoints: ["http://127.0.0.1:1", server.url, "http://127.0.0.1:2"] };
  using host = new EtcdHost({ access }, NET, { addresses: ["192.0.2.1"] });
  const lease = await host.registry.acquire(request("192.0.2.1"), { signal });
  host.follow();
  await host.heard("the snapshot", isSnapshot);
  assert(host.updates.some((update) => isSnapshot(update) && update.leases[0]!.host === lease.host));
});

Deno.test("EtcdRegistry says which server does not answer, and where to look", async () => {
  using host = new EtcdHost({ access: { endpoints: ["http://127.0.0.1:1"], tls: {} } }, NET, {
    addresses: ["192.0.2.1"],
  });
  await assertRejects(
    () => host.registry.acquire(request("192.0.2.1"), { signal }),
    Error,
    "Cannot take a lease: etcd at 127.0.0.1:1 does not answer: Connection refused; look at -etcd-endpoints",
  );
});

Deno.test("EtcdRegistry takes and follows leases over TLS, with the authority alone", async () => {
  await using server = await EtcdServer.open({ tls: "server" });
  using host = new EtcdHost(server, NET, { addresses: ["192.0.2.1"] });
  await host.registry.acquire(request("192.0.2.1"), { signal });
  host.follow();
  await host.heard("the snapshot", isSnapshot);
  using stranger = new EtcdHost({ access: { ...server.access, tls: {} } }, NET, { addresses: ["192.0.2.1"] });
  await assertRejects(
    () => stranger.registry.acquire(request("192.0.2.1"), { signal }),
    Error,
    "its certificate comes from an authority that is not trusted",
  );
  using plain = new EtcdHost({ access: { endpoints: [server.url.replace("https", "http")], tls: {} } }, NET, {
    addresses: ["192.0.2.1"],
  });
  await assertRejects(
    () => plain.registry.acquire(request("192.0.2.1"), { signal }),
    Error,
    "Cannot take a lease: etcd",
  );
});

Deno.test("EtcdRegistry takes leases with a certificate of its own, and says so where it lacks one", async () => {
  await using server = await EtcdServer.open({ tls: "both" });
  using host = new EtcdHost(server, NET, { addresses: ["192.0.2.1"] });
  await host.registry.acquire(request("192.0.2.1"), { signal });
  const { caFile } = server.access.tls;
  using stranger = new EtcdHost({ access: { ...server.access, tls: { caFile: caFile! } } }, NET, {
    addresses: ["192.0.2.1"],
  });
  await assertRejects(
    () => stranger.registry.acquire(request("192.0.2.1"), { signal }),
    Error,
    "it wants a certificate of this host's that it knows",
  );
  using lost = new EtcdHost({ access: { ...server.access, tls: { caFile: "/nowhere/ca.crt" } } }, NET, {
    addresses: ["192.0.2.1"],
  });
  await assertRejects(
    () => lost.registry.acquire(request("192.0.2.1"), { signal }),
    Error,
    "/nowhere/ca.crt can't be read: there is no such file",
  );
});

Deno.test("EtcdRegistry is let in by user and password, also when etcd has forgotten its token", async () => {
  await using server = await EtcdServer.open({ withUsers: true });
  using host = new EtcdHost(server, NET, { addresses: ["192.0.2.1"] });
  await host.registry.acquire(request("192.0.2.1"), { signal });
  host.follow();
  await host.heard("the snapshot", isSnapshot);
  await server.stop();
  await server.start();
  await host.registry.acquire(request("192.0.2.1"), { signal });
  for (const user of [{ name: "root", password: "wrong" }, { name: "nobody", password: "x" }]) {
    using stranger = new EtcdHost({ access: { ...server.access, user } }, NET, { addresses: ["192.0.2.1"] });
    const error = await assertRejects(
      () => stranger.registry.acquire(request("192.0.2.1"), { signal }),
      Error,
    );
    assert(error.message.includes(`user "${user.name}" is not let in: `), error.message);
    assert(error.message.endsWith("; look at -etcd-username and -etcd-password"), error.message);
  }
  const { user: _, ...access } = server.access;
  using nobody = new EtcdHost({ access }, NET, { addresses: ["192.0.2.1"] });
  await assertRejects(
    () => nobody.registry.acquire(request("192.0.2.1"), { signal }),
    Error,
    `Cannot take a lease: etcd at ${server.url} answers: `,
  );
});

Deno.test("a host keeps its lease and follows the others' while etcd's database is full, and is told what to do", async () => {
  await using server = await EtcdServer.open({ quotaBytes: 2 * 2 ** 20 });
  using host = new EtcdHost(server, NET, { addresses: ["192.0.2.1"], beatMs: 100 });
  const lease = await host.registry.acquire(request("192.0.2.1"), { signal });
  host.follow();
  await host.heard("the first snapshot", isSnapshot);
  await assertRejects(async () => {
    for (let at = 0; at < 20; at++) await server.put(`/elsewhere/${at}`, "x".repeat(500_000));
  }, Error);
  // What is as it was is renewed all the same.
  assertEquals((await host.registry.acquire(request("192.0.2.1"), { signal })).host, lease.host);
  const error = await assertRejects(() => host.registry.acquire(request("192.0.2.9"), { signal }), Error);
  assert(String(error).includes("database space exceeded; compact and defragment it"), String(error));
  await server.client.revoke(host.registry.token!, { signal });
  await host.heard("that the own lease is gone", isReleased(lease.host));
  assertEquals(host.registry.contact.reason, undefined);
});
