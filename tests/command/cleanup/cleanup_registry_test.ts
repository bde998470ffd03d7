import { assertEquals, assertRejects } from "@std/assert";
import type { RegistryOptions } from "../../../src/config/registry_flags.ts";
import { EtcdServer } from "../../double/etcd.ts";
import { flannelValue } from "../../registry/etcd/etcd_world.ts";
import { LocalWorld, request } from "../../registry/local/local_world.ts";
import { signal } from "../../registry/kube/servers.ts";
import { giveUp } from "./give_up.ts";

function etcdOptions(server: EtcdServer): RegistryOptions & { kind: "etcd" } {
  return { kind: "etcd", prefix: "/n", ...server.access };
}

Deno.test("the own key in etcd is removed, and no other host's", async () => {
  await using server = await EtcdServer.open();
  await server.put("/n/config", "{}");
  await server.put("/n/subnets/10.5.1.0-24", flannelValue("192.0.2.1"));
  await server.put("/n/subnets/10.5.2.0-24", flannelValue("192.0.2.2"));
  await server.put("/n/subnets/10.5.3.0-24", "{");
  const options = etcdOptions(server);
  const before = await server.list("/n");
  assertEquals(await giveUp(options, ["192.0.2.1"], { isDryRun: true }), ["lease /n/subnets/10.5.1.0-24"]);
  assertEquals(await server.list("/n"), before);
  assertEquals(await giveUp(options, ["192.0.2.1"]), ["lease /n/subnets/10.5.1.0-24"]);
  assertEquals(Object.keys(await server.list("/n")), [
    "/n/config",
    "/n/subnets/10.5.2.0-24",
    "/n/subnets/10.5.3.0-24",
  ]);
  assertEquals(await giveUp(options, ["192.0.2.1"]), []);
});

Deno.test("a key in etcd that another host has taken meanwhile stays", async () => {
  await using server = await EtcdServer.open();
  const key = "/n/subnets/10.5.1.0-24";
  await server.put(key, flannelValue("192.0.2.1"));
  const during = () => server.put(key, flannelValue("192.0.2.2"));
  await assertRejects(
    () => giveUp(etcdOptions(server), ["192.0.2.1"], { during }),
    Error,
    "it has changed meanwhile",
  );
  assertEquals(Object.keys(await server.list("/n")), [key]);
});

Deno.test("a local registry that is not there has nothing to give up, and is not made", async () => {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-local-" });
  try {
    assertEquals(await giveUp({ kind: "local", path: `${folder}/registry.db` }, ["192.0.2.1"]), []);
    assertEquals(await Array.fromAsync(Deno.readDir(folder)), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

const MACHINE = "1".repeat(32);
const MAC = "52:54:00:00:00:01";
const HERE = { machine: MACHINE, macs: new Set([MAC]) };
/** After two hosts have swapped addresses: the own lease is at the other's, and the other's at this host's. */
const SWAPPED: readonly (readonly [why: string, origin: Record<string, string>])[] = [
  ["another host", { Machine: "2".repeat(32), Card: "52:54:00:00:00:02" }],
  ["a clone", { Machine: MACHINE, Card: "52:54:00:00:00:02" }],
];

for (const [why, other] of SWAPPED) {
  Deno.test(`the lease of ${why} stays that has this host's address by now, and the own one goes (etcd)`, async () => {
    await using server = await EtcdServer.open();
    const value = (address: string, origin: Record<string, string>) =>
      flannelValue(address).replace(/\}$/, `,"LodenOrigin":${JSON.stringify(origin)}}`);
    await server.put("/n/subnets/10.5.1.0-24", value("192.0.2.2", { Machine: MACHINE, Card: MAC }));
    await server.put("/n/subnets/10.5.2.0-24", value("192.0.2.1", other));
    assertEquals(await giveUp(etcdOptions(server), ["192.0.2.1"], HERE), ["lease /n/subnets/10.5.1.0-24"]);
    assertEquals(Object.keys(await server.list("/n")), ["/n/subnets/10.5.2.0-24"]);
  });

  Deno.test(`the lease of ${why} stays that has this host's address by now, and the own one goes (local)`, async () => {
    await using world = new LocalWorld();
    const ask = (name: string, address: string, { Machine: machine, Card: mac }: Record<string, string>) =>
      world.open(name).acquire({ ...request(address), origin: { machine: machine!, mac: mac! } }, {
        signal,
      });
    await ask("own", "192.0.2.2", { Machine: MACHINE, Card: MAC });
    await ask("other", "192.0.2.1", other);
    assertEquals(await giveUp({ kind: "local", path: world.path }, ["192.0.2.1"], HERE), [
      `lease of own in ${world.path}`,
    ]);
  });
}
