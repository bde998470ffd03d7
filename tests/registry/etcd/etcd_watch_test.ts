import { assert, assertEquals } from "@std/assert";
import { pause } from "../../../src/loop/pause.ts";
import { waitUntil } from "../../../src/lab/wait.ts";
import type { LeaseUpdate } from "../../../src/model/lease.ts";
import { EtcdFront, EtcdServer } from "../../double/etcd.ts";
import { EtcdHost, flannelValue, request, signal } from "./etcd_world.ts";

const NET = "/coreos.com/network";

let server: EtcdServer;
Deno.test.beforeAll(async () => {
  server = await EtcdServer.open();
});
Deno.test.afterAll(() => server[Symbol.asyncDispose]());

function isSnapshot(update: LeaseUpdate): boolean {
  return update.kind === "snapshot";
}

function isHeld(host: string): (update: LeaseUpdate) => boolean {
  return (update) => update.kind === "held" && update.lease.host === host;
}

async function inContact(host: EtcdHost): Promise<void> {
  await waitUntil("be in contact", () => host.registry.contact.reason === undefined || undefined, {
    deadlineMs: 10_000,
    signal,
  });
}

Deno.test("EtcdRegistry.watch() leaves a member that has fallen silent, though another answers what else is asked", async () => {
  await using front = new EtcdFront(server);
  const access = { endpoints: [front.url, server.url], tls: {} };
  using host = new EtcdHost({ access }, `${NET}/silent`, { addresses: ["192.0.2.1"], beatMs: 200 });
  host.follow();
  await inContact(host);
  front.freeze();
  await server.put(`${NET}/silent/subnets/10.5.3.0-24`, flannelValue("192.0.2.3"));
  // It is lost for a moment only.
  while (host.registry.contact.reason === undefined && host.returns === 0) await pause(1);
  assertEquals(host.registry.contact.reason, `etcd at ${front.url} does not answer; ${server.url} does`);
  await host.heard("what the silent member did not tell", isHeld("10.5.3.0-24"));
  assertEquals([host.registry.contact.reason, host.returns], [undefined, 1]);
  assertEquals(host.updates.filter(isSnapshot).length, 1, "it goes on where it was");
});

Deno.test("EtcdRegistry.watch() goes with the others to another member when an acquisition finds its own silent", async () => {
  await using front = new EtcdFront(server);
  const access = { endpoints: [front.url, server.url], tls: {} };
  using host = new EtcdHost({ access }, `${NET}/turned`, { addresses: ["192.0.2.1"], beatMs: 200 });
  host.follow();
  await inContact(host);
  front.loseAnswer("kv/range");
  await host.registry.acquire(request("192.0.2.1"), { signal });
  await waitUntil("watch there", () => host.returns === 1 || undefined, { deadlineMs: 20_000, signal });
  await server.put(`${NET}/turned/subnets/10.5.3.0-24`, flannelValue("192.0.2.3"));
  await host.heard("the next change", isHeld("10.5.3.0-24"));
});

Deno.test("EtcdRegistry.watch() reads all leases again at intervals, and has not lost its registry then", async () => {
  const prefix = `${NET}/again`;
  await server.put(`${prefix}/subnets/10.5.2.0-24`, flannelValue("192.0.2.2"));
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"], relistMs: 50 });
  host.follow();
  await waitUntil("read five times", () => host.updates.filter(isSnapshot).length >= 5 || undefined, {
    deadlineMs: 20_000,
    signal,
  });
  assert(host.updates.every(isSnapshot));
  await server.put(`${prefix}/subnets/10.5.3.0-24`, flannelValue("192.0.2.3"));
  await host.heard(
    "a change, from the watch or from a list",
    (update) =>
      isHeld("10.5.3.0-24")(update) ||
      update.kind === "snapshot" && update.leases.some(({ host }) => host === "10.5.3.0-24"),
  );
  assertEquals([host.returns, host.said], [0, []]);
});

Deno.test("EtcdRegistry shows the name of a foreign key quoted and cut", async () => {
  const prefix = `${NET}/names`;
  await server.put(`${prefix}/subnets/\u001b[31m\u202ered\n`, "");
  await server.put(`${prefix}/subnets/${"x".repeat(5000)}`, "");
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"] });
  host.follow();
  await host.heard("the snapshot", isSnapshot);
  assertEquals(
    host.registry.faults.map(({ host }) => host).sort(),
    [
      '"\\u001b[31m\\u202ered\\n"',
      `"${"x".repeat(79)}…`,
    ].sort(),
  );
});
