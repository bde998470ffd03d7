import { assertEquals, assertRejects } from "@std/assert";
import { ContestedError } from "../../../src/registry/registry_error.ts";
import { formatAddress } from "../../../src/model/address.ts";
import type { Origin } from "../../../src/model/lease.ts";
import type { Json } from "../../double/api_objects.ts";
import { bareNode, KEYS, KubeHost, onBothServers, request, signal, useRealServer } from "./servers.ts";

useRealServer();

const FIRST: Origin = { name: "a", mac: "52:54:00:00:00:01" };
const SECOND: Origin = { name: "b", mac: "52:54:00:00:00:02" };

async function publishedBy(server: { node(name: string): Promise<Json | undefined> }): Promise<unknown> {
  const annotations = ((await server.node("n1"))?.metadata as Json).annotations as Json;
  return JSON.parse(String(annotations[KEYS.origin])).Name;
}

onBothServers("a node says who its host is, and since when it is there", async (server) => {
  await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
  await using host = new KubeHost(server);
  await host.registry.acquire({ ...request("192.0.2.1"), origin: FIRST }, { signal });
  const lease = await host.registry.previous(request("192.0.2.1"), { signal });
  const { creationTimestamp } = (await server.node("n1"))?.metadata as { creationTimestamp: string };
  assertEquals([lease?.origin, lease?.since], [FIRST, Date.parse(creationTimestamp)]);
});

onBothServers(
  "of two hosts with one NODE_NAME the newcomer gives way when the first writes again",
  async (server) => {
    await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
    await using first = new KubeHost(server);
    await using second = new KubeHost(server);
    const ask = (host: KubeHost, origin: Origin, address: string) =>
      host.registry.acquire({ ...request(address), origin }, { signal });
    await ask(first, FIRST, "192.0.2.1");
    await ask(second, SECOND, "192.0.2.2");
    assertEquals(await publishedBy(server), "b", "it might be the successor of a machine that is gone");
    await ask(first, FIRST, "192.0.2.1");
    await assertRejects(
      () => ask(second, SECOND, "192.0.2.2"),
      ContestedError,
      "a (MAC 52:54:00:00:00:01) is alive",
    );
    assertEquals(await publishedBy(server), "a");
  },
);

onBothServers(
  "a node whose kubelet is not heard any more is silent, as is one that is gone",
  async (server) => {
    const ready = (status: string) => ({ status: { conditions: [{ type: "Ready", status, reason: "x" }] } });
    for (const [name, status] of [["n1", "True"], ["n2", "Unknown"], ["n3", "False"]] as const) {
      await server.createNode(bareNode(name));
      await server.patchNode(name, ready(status), "status");
    }
    await using host = new KubeHost(server);
    const silent = await Promise.all(
      ["n1", "n2", "n3", "n4"].map((name) => host.registry.isSilent(name, { signal })),
    );
    assertEquals(silent, [false, true, false, true]);
  },
);

onBothServers("the InternalIP of the own node is known once it was read", async (server) => {
  await server.createNode(bareNode("n1"));
  const addresses = [
    { type: "Hostname", address: "n1" },
    { type: "InternalIP", address: "192.0.2.1" },
    { type: "ExternalIP", address: "203.0.113.1" },
  ];
  await server.patchNode("n1", { status: { addresses } }, "status");
  await using host = new KubeHost(server);
  await host.registry.look({ signal });
  assertEquals(host.registry.nodeAddresses.map(formatAddress), ["192.0.2.1"]);
});
