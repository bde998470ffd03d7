import { assertEquals, assertRejects } from "@std/assert";
import type { RegistryOptions } from "../../../src/config/registry_flags.ts";
import { RegistryError } from "../../../src/registry/registry_error.ts";
import type { Json } from "../../double/api_objects.ts";
import type { TestApiServer } from "../../double/api_server.ts";
import { KEYS, memberNode, onBothServers, PREFIX, useRealServer } from "../../registry/kube/servers.ts";
import { giveUp } from "./give_up.ts";

useRealServer();

async function annotations(server: TestApiServer, name: string): Promise<Json> {
  return ((await server.node(name))?.metadata as Json).annotations as Json;
}

/** Defines a test on each API server, with a registry that is reached by a kubeconfig. */
function onServers(
  name: string,
  body: (server: TestApiServer, options: RegistryOptions) => Promise<void>,
): void {
  onBothServers(name, async (server) => {
    const kubeconfigFile = await Deno.makeTempFile({ prefix: "lodentest-kubeconfig-" });
    const cluster = {
      server: server.url,
      ...server.caFile !== undefined && { "certificate-authority": server.caFile },
    };
    const kubeconfig = {
      "current-context": "c",
      contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
      clusters: [{ name: "c", cluster }],
      users: [{ name: "u", user: { token: server.tokens.agent } }],
    };
    try {
      await Deno.writeTextFile(kubeconfigFile, JSON.stringify(kubeconfig));
      const options = { kind: "kube", apiUrl: "", annotationPrefix: PREFIX, clearsCondition: true } as const;
      await body(server, { ...options, kubeconfigFile });
    } finally {
      await Deno.remove(kubeconfigFile);
    }
  });
}

onServers(
  "the own node's annotations are removed, and no others, nor an operator's",
  async (server, options) => {
    const node = memberNode("n1", "10.244.1.0/24", "192.0.2.1");
    const metadata = node.metadata as Json;
    const kept = { "example.com/a": "1", [KEYS.nodeAddress[2]]: "192.0.2.1" };
    await server.createNode({
      ...node,
      metadata: { ...metadata, annotations: { ...metadata.annotations as Json, ...kept } },
    });
    await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
    const names = [KEYS.managed, KEYS.backendType, KEYS.data[2], KEYS.address[2]].join(", ");
    assertEquals(await giveUp(options, ["192.0.2.1"]), [`lease of node n1: annotations ${names}`]);
    assertEquals(await annotations(server, "n1"), kept);
    assertEquals(Object.keys(await annotations(server, "n2")).length, 4);
    assertEquals(await giveUp(options, ["192.0.2.1"]), []);
  },
);

onServers(
  "annotations of a node that is another host's stay, whatever NODE_NAME says",
  async (server, options) => {
    await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
    await assertRejects(
      () => giveUp(options, ["192.0.2.1", "2001:db8::1"], { nodeName: "n2" }),
      RegistryError,
      "Cannot remove the lease of node n2: it says that it is another host's, or reached at another address than this host's",
    );
    assertEquals(Object.keys(await annotations(server, "n2")).length, 4);
  },
);

onServers(
  "annotations are removed where an operator has overwritten the address",
  async (server, options) => {
    const node = memberNode("n1", "10.244.1.0/24", "203.0.113.1");
    const metadata = node.metadata as Json;
    const overwrite = { [KEYS.overwrite[2]]: "203.0.113.1" };
    await server.createNode({
      ...node,
      metadata: { ...metadata, annotations: { ...metadata.annotations as Json, ...overwrite } },
    });
    assertEquals((await giveUp(options, ["192.0.2.1"])).length, 1);
    assertEquals(await annotations(server, "n1"), overwrite);
  },
);

onServers(
  "annotations of a host with another MAC stay, also of a clone at this host's address",
  async (server, options) => {
    const node = memberNode("n1", "10.244.1.0/24", "192.0.2.1");
    const metadata = node.metadata as Json;
    const machine = "1".repeat(32);
    const origin = { [KEYS.origin]: JSON.stringify({ Machine: machine, Card: "52:54:00:00:00:02" }) };
    await server.createNode({
      ...node,
      metadata: { ...metadata, annotations: { ...metadata.annotations as Json, ...origin } },
    });
    const known = (mac: string) => ({ machine, macs: new Set([mac]) });
    await assertRejects(
      () => giveUp(options, ["192.0.2.1"], known("52:54:00:00:00:01")),
      RegistryError,
      "Cannot remove the lease of node n1",
    );
    assertEquals((await giveUp(options, ["192.0.2.9"], known("52:54:00:00:00:02"))).length, 1);
    assertEquals(await annotations(server, "n1") ?? {}, {});
  },
);
