import { assertEquals } from "@std/assert";
import { AttributeReader } from "../../src/netlink/attribute.ts";
import { MessageReader } from "../../src/netlink/message.ts";
import { Libc } from "../../src/linux/libc.ts";
import { Culprits } from "../../src/reconcile/culprits.ts";
import { TestNetns } from "../double/netns.ts";

const DEADLINE_MS = 5000;

Deno.test("Culprits knows the port that has changed a route, a neighbour and an IPv4 address, by the words of a fight", async () => {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  await netns.ip("link", "add", "v1", "type", "bridge");
  await netns.ip("link", "set", "v1", "up");
  await using notifications = netns.openNotifications(libc);
  const culprits = new Culprits();
  const buffer = new Uint8Array(65_536);
  const reader = new MessageReader(buffer);
  /** Has ip(8) change something, and waits until it is told of. */
  const change = async (thing: string, ...args: string[]) => {
    await netns.ip(...args);
    const endMs = performance.now() + DEADLINE_MS;
    while (culprits.portOf(thing) === undefined && performance.now() < endMs) {
      const length = notifications.receive(buffer);
      if (length <= 0) {
        await notifications.wait({ signal: AbortSignal.timeout(DEADLINE_MS) });
        continue;
      }
      reader.reset(length);
      while (reader.next()) culprits.heard(reader, new AttributeReader(reader.view));
    }
    assertEquals(culprits.portOf(thing)! > 0, true, thing);
  };
  await change("address 10.244.1.0/32 of v1", "address", "add", "10.244.1.0/32", "dev", "v1");
  await change("route 10.244.2.0/24", "route", "add", "10.244.2.0/24", "dev", "v1");
  await change("neighbour 10.244.2.0 dev v1", ...["neigh", "add", "10.244.2.0"], ...[
    "lladdr",
    "0e:2a:00:00:00:0a",
    "dev",
    "v1",
  ]);
  assertEquals(culprits.portOf("the neighbours of v1"), culprits.portOf("neighbour 10.244.2.0 dev v1"));
  assertEquals(culprits.portOf("the routes of v1"), culprits.portOf("route 10.244.2.0/24"));
  assertEquals(
    culprits.portOf("others' routes to the cluster networks"),
    culprits.portOf("route 10.244.2.0/24"),
  );
  assertEquals(culprits.portOf("route 10.244.3.0/24"), undefined);
  assertEquals(culprits.portOf("the FDB entries of v1"), undefined);
});
