import { assertEquals, assertMatch } from "@std/assert";
import { waitUntil } from "../../../src/lab/wait.ts";
import type { Json } from "../../double/api_objects.ts";
import { KEYS, KubeHost, memberNode, onTheRealServer, signal, until, useRealServer } from "./servers.ts";

useRealServer();

const N2 = "n2 10.244.2.0/24 at 192.0.2.2 by 0e:00:00:00:00:01";
const N3 = "n3 10.244.3.0/24 at 192.0.2.3 by 0e:00:00:00:00:01";
const N4 = "n4 10.244.4.0/24 at 192.0.2.4 by 0e:00:00:00:00:01";

onTheRealServer("an API server that falls silent is noticed before client-go would", async (server) => {
  await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
  await using host = new KubeHost(server);
  host.follow();
  await host.sees(N2);
  server.signal("SIGSTOP");
  try {
    const reason = await waitUntil("be lost", () => host.registry.contact.reason, {
      deadlineMs: 45_000,
      signal,
    });
    assertMatch(reason, /^Cannot follow the nodes: the API server .* (said nothing|does not answer)/);
  } finally {
    server.signal("SIGCONT");
  }
  await server.createNode(memberNode("n3", "10.244.3.0/24", "192.0.2.3"));
  await host.sees(N2, N3);
  await until("be heard", () => host.registry.contact.reason === undefined || undefined);
});

onTheRealServer("an API server whose etcd was restored from a backup is followed again", async (server) => {
  await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
  const backup = await server.etcd.backUp();
  await using host = new KubeHost(server);
  host.follow();
  await host.sees(N2);
  await server.createNode(memberNode("n3", "10.244.3.0/24", "192.0.2.3"));
  // Far enough that the server is behind for long: it writes by itself, too.
  for (let n = 0; n < 300; n++) {
    await server.patchNode("n2", { metadata: { annotations: { [KEYS.address[2]]: `192.0.3.${n % 200}` } } });
  }
  await host.sees("n2 10.244.2.0/24 at 192.0.3.99 by 0e:00:00:00:00:01", N3);
  await server.restore(backup);
  await host.sees(N2);
  await server.createNode(memberNode("n4", "10.244.4.0/24", "192.0.2.4"));
  await host.sees(N2, N4);
  await until("be heard", () => host.registry.contact.reason === undefined || undefined);
  const version = ((await server.node("n4"))!.metadata as Json).resourceVersion;
  assertEquals(host.registry.contact.reason, undefined, `n4 is at ${version}`);
});
