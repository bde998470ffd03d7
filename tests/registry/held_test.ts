import { assertEquals, assertRejects } from "@std/assert";
import { KubeRegistry } from "../../src/registry/kube/kube.ts";
import { writeLease } from "../../src/registry/local/local_acquire.ts";
import { LocalFile } from "../../src/registry/local/local_file.ts";
import type { LeaseRegistry, LeaseRequest, LeavingHost } from "../../src/registry/registry.ts";
import { RegistryError } from "../../src/registry/registry_error.ts";
import { parseAddress } from "../../src/model/address.ts";
import type { Lease, Origin } from "../../src/model/lease.ts";
import type { TestApiServer } from "../double/api_server.ts";
import { EtcdServer } from "../double/etcd.ts";
import { EtcdHost, flannelValue } from "./etcd/etcd_world.ts";
import {
  bareNode,
  KubeHost,
  memberAnnotations,
  onBothServers,
  request as vxlanAt,
  signal,
  useRealServer,
} from "./kube/servers.ts";
import { LocalWorld } from "./local/local_world.ts";

useRealServer();

/** Where two hosts agree on their leases. */
interface Place {
  /** Opens the registry as a process on a host does. */
  readonly open: (host: "n1" | "n2") => LeaseRegistry;
  /** Has a host that does not say who it is, at 192.0.2.3, write in the place of a lease. */
  readonly overwrite: (lease: Lease) => Promise<unknown>;
}

/** Defines one test for each registry; that of nodes on both servers. */
function onEachRegistry(name: string, body: (place: Place) => Promise<void>): void {
  const define = (registry: string, fn: () => Promise<void>) =>
    // The real API server of the file may say something meanwhile.
    Deno.test({ name: `${name} (${registry})`, sanitizeOps: false, fn });
  define("local", async () => {
    await using world = new LocalWorld();
    await body({
      open: (host) => world.open(host),
      overwrite: ({ origin: _, since, ...lease }) => {
        using file = new LocalFile(world.path);
        const parts = lease.parts.map((part) => ({ ...part, underlayAddress: parseAddress("192.0.2.3") }));
        const write = () => writeLease(file, { ...lease, parts, since: since! + 1 }, "write a lease");
        return Promise.resolve(file.transaction("IMMEDIATE", "write a lease", write));
      },
    });
  });
  define("etcd", async () => {
    await using server = await EtcdServer.open();
    using stack = new DisposableStack();
    await body({
      open: () => stack.use(new EtcdHost(server, "/n", { addresses: [""] })).registry,
      overwrite: ({ host }) => server.put(`/n/subnets/${host}`, flannelValue("192.0.2.3")),
    });
  });
  onBothServers(`${name} (Kubernetes)`, async (server) => {
    await using stack = new AsyncDisposableStack();
    for (const at of [1, 2]) await server.createNode(bareNode(`n${at}`, [`10.244.${at}.0/24`]));
    await body({
      open: (nodeName) => stack.use(new KubeHost(server, { identity: { nodeName } })).registry,
      overwrite: ({ host }) => overwriteNode(server, host),
    });
  });
}

async function overwriteNode(server: TestApiServer, name: string): Promise<void> {
  const annotations = memberAnnotations("192.0.2.3");
  await server.patchNode(name, { metadata: { annotations } }, "status");
}

const MACHINE = "1".repeat(32);
const [MAC, OTHER_MAC] = ["52:54:00:00:00:01", "52:54:00:00:00:02"] as const;

function asks(address: string, origin: Origin): LeaseRequest {
  return { ...vxlanAt(address), origin };
}

function leaving(address: string, mac = MAC): LeavingHost {
  return { machine: MACHINE, macs: new Set([mac]), addresses: new Set([parseAddress(address)]) };
}

/** The hosts that hold a lease. */
async function holders(registry: LeaseRegistry): Promise<string[]> {
  for await (const update of registry.watch({ signal })) {
    if (update.kind === "snapshot") return update.leases.map(({ host }) => host).sort();
  }
  throw new Error("Cannot read all leases: the watch has ended");
}

onEachRegistry("release() gives up the own lease, wherever it is by now, and no other's", async (place) => {
  const own = await place.open("n1").acquire(asks("192.0.2.1", { machine: MACHINE, mac: MAC }), { signal });
  const others = asks("192.0.2.2", { machine: "2".repeat(32), mac: OTHER_MAC });
  const other = await place.open("n2").acquire(others, { signal });
  const registry = place.open("n1");
  const before = [own.host, other.host].sort();
  const held = await registry.held(leaving("192.0.2.9"), { signal });
  assertEquals(held.map(({ object }) => object.includes(own.host)), [true]);
  assertEquals(await holders(registry), before, "to find is not to release");
  assertEquals(await held[0]!.release({ signal }), true);
  assertEquals(await holders(registry), [other.host]);
  assertEquals(await held[0]!.release({ signal }), false, "it is gone already");
  assertEquals(await registry.held(leaving("192.0.2.9"), { signal }), []);
});

onEachRegistry(
  "release() finds by its address the lease of a host that does not say who it is",
  async (place) => {
    const own = await place.open("n1").acquire(asks("192.0.2.1", {}), { signal });
    const registry = place.open("n1");
    const [held] = await registry.held(leaving("192.0.2.1"), { signal });
    assertEquals(held!.object.includes(own.host), true);
    assertEquals(await held!.release({ signal }), true);
    assertEquals(await holders(registry), []);
  },
);

onEachRegistry("release() leaves what another host has written meanwhile", async (place) => {
  const own = await place.open("n1").acquire(asks("192.0.2.1", { machine: MACHINE, mac: MAC }), { signal });
  const registry = place.open("n1");
  const [held] = await registry.held(leaving("192.0.2.1"), { signal });
  await place.overwrite(own);
  assertEquals(await held!.release({ signal }), false);
  assertEquals(await holders(registry), [own.host]);
});

onEachRegistry("held() finds nothing of another host at this host's address", async (place) => {
  const clone = asks("192.0.2.1", { machine: MACHINE, mac: OTHER_MAC });
  const other = await place.open("n1").acquire(clone, { signal });
  const registry = place.open("n1");
  const look = () => registry.held(leaving("192.0.2.1"), { signal });
  // A node has one place for a lease: that another host's is in it is for a person to mend.
  if (registry instanceof KubeRegistry) await assertRejects(look, RegistryError, "it is another host's");
  else assertEquals(await look(), []);
  assertEquals(await holders(registry), [other.host]);
});

onEachRegistry("strip() leaves the own lease without what flanneld does not know", async (place) => {
  const own = await place.open("n1").acquire(asks("192.0.2.1", { machine: MACHINE, mac: MAC }), { signal });
  const registry = place.open("n1");
  const [held] = await registry.held(leaving("192.0.2.1"), { signal });
  const [other] = await registry.held(leaving("192.0.2.1"), { signal });
  // A local file is Loden's own: no flanneld reads it.
  if (held!.strip === undefined) return assertEquals(held!.object.includes(".db"), true);
  assertEquals(await held!.strip({ signal }), true);
  assertEquals(await other!.strip!({ signal }), false, "it has changed since");
  const [now] = await registry.held(leaving("192.0.2.1"), { signal });
  assertEquals([now!.object.includes(own.host), now!.strip], [true, undefined]);
  assertEquals(await holders(registry), [own.host], "the lease stays");
});
