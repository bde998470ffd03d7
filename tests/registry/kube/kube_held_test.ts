import { assertEquals } from "@std/assert";
import { parseAddress } from "../../../src/model/address.ts";
import { KubeClient } from "../../../src/registry/kube/kube_client.ts";
import { heldInNode } from "../../../src/registry/kube/kube_held.ts";
import { OwnNode } from "../../../src/registry/kube/kube_own_node.ts";
import { KEYS, memberAnnotations, memberNode, onTheRealServer, signal, useRealServer } from "./servers.ts";

useRealServer();

onTheRealServer("release() leaves a node that changes between its look and its write", async (server) => {
  await server.createNode(memberNode("n1", "10.244.1.0/24", "192.0.2.1"));
  let requests = 0;
  // The client reads its token before each request, as the clock says that it is old.
  const readTextFile = async () => {
    const annotations = memberAnnotations("192.0.2.3");
    if (++requests === 3) await server.patchNode("n1", { metadata: { annotations } }, "status");
    return server.tokens.agent;
  };
  let nowMs = 0;
  const access = { url: server.url, tls: { files: { caFile: server.caFile } }, tokenFile: "token", hint: "" };
  using client = new KubeClient(access, {
    readTextFile: (path) => path === "token" ? readTextFile() : Deno.readTextFile(path),
    elapsedMs: () => nowMs += 60_000,
  });
  const own = new OwnNode(client, { identity: { nodeName: "n1" }, keys: KEYS, changed: () => {} });
  const addresses = new Set([parseAddress("192.0.2.1")]);
  const [held] = await heldInNode(own, { addresses }, KEYS, { signal });
  assertEquals(await held!.release({ signal }), false);
  assertEquals(requests, 3);
  const { annotations } = (await server.node("n1"))!.metadata as { annotations: Record<string, string> };
  assertEquals(annotations[KEYS.address[2]], "192.0.2.3");
});
