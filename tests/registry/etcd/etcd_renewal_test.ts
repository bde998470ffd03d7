import { assertEquals, assertMatch } from "@std/assert";
import { EtcdClient } from "../../../src/registry/etcd/etcd_client.ts";
import { EtcdServer } from "../../double/etcd.ts";
import { signal } from "./etcd_world.ts";

Deno.test("an agent's way to etcd outlives a renewal by two renames while its connections drop", async () => {
  await using server = await EtcdServer.open({ tls: "both" });
  const folder = await Deno.makeTempDir({ prefix: "loden-renewal-" });
  try {
    const [certFile, keyFile] = [`${folder}/tls.crt`, `${folder}/tls.key`];
    const put = async (path: string, text: string) => {
      await Deno.writeTextFile(`${path}.new`, text);
      await Deno.rename(`${path}.new`, path);
    };
    const issue = (name: string) => server.authority!.issue({ name, commonName: name });
    const [first, second] = [await issue("first"), await issue("second")];
    await put(certFile, first.certPem);
    await put(keyFile, first.keyPem);
    let nowMs = 0;
    const access = { ...server.access, tls: { ...server.access.tls, certFile, keyFile } };
    using client = new EtcdClient(access, {
      readTextFile: (path) => Deno.readTextFile(path),
      elapsedMs: () => nowMs,
    });
    await client.range("/x", { signal });
    const watch = client.watch("/x", 1, { signal });
    await watch.next();

    await put(certFile, second.certPem);
    client.leaveConnections();
    assertEquals((await client.range("/x", { signal })).entries, [], "half renewed");
    assertEquals(client.tls.conditions, []);
    nowMs += 10_000;
    await client.tls.look();
    assertMatch(client.tls.conditions[0]!.sentence, /the key \S+tls.key is not the one of the certificate/);

    await put(keyFile, second.keyPem);
    nowMs += 1000;
    await client.tls.look();
    assertEquals(client.tls.conditions, []);
    const other = client.watch("/x", 1, { signal });
    await other.next();
    // What is asked with the former certificate meanwhile goes on.
    await put(certFile, first.certPem);
    await put(keyFile, first.keyPem);
    nowMs += 60_000;
    await client.tls.look();
    await server.put("/x", "1");
    const { value } = await other.next();
    assertEquals(typeof value === "object" && value.changes[0]!.entry.value, "1");
    await other.return("compacted");
    await watch.return("compacted");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
