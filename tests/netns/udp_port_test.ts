import { assert, assertEquals, assertThrows } from "@std/assert";
import { Libc } from "../../src/linux/libc.ts";
import { EINVAL, NetlinkError } from "../../src/linux/errno.ts";
import { UdpPort } from "../../src/linux/udp_port.ts";
import { pause } from "../../src/loop/pause.ts";
import { parseAddress } from "../../src/model/address.ts";
import { TestNetns } from "../double/netns.ts";

const PORT = 8475;

Deno.test("a port at a link-local address of IPv6 is opened on its link, and reaches its neighbours there", async () => {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  await using other = await TestNetns.create();
  await netns.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", other.name);
  for (const [one, address] of [[netns, "fe80::a"], [other, "fe80::b"]] as const) {
    await one.ip("link", "set", "eth0", "addrgenmode", "none", "up");
    await one.ip("-6", "address", "add", `${address}/64`, "dev", "eth0", "nodad");
  }
  const open = async (one: TestNetns, address: string, isOnLink = true) => {
    const [link] = await one.ipJson("link", "show", "eth0");
    const place = { address: parseAddress(address), port: PORT, hopLimit: 64 };
    const linkIndex = isOnLink ? { linkIndex: link!["ifindex"] as number } : {};
    return libc.inNetns(one.path, () => UdpPort.open(libc, { ...place, ...linkIndex }, 100));
  };
  using near = await open(netns, "fe80::a");
  using far = await open(other, "fe80::b");
  assertEquals(near.send(new Uint8Array(7), parseAddress("fe80::b"), PORT), 0);
  let arrival = far.receive();
  for (const endMs = performance.now() + 5000; arrival === undefined && performance.now() < endMs;) {
    await pause(5);
    arrival = far.receive();
  }
  assert(arrival !== undefined && arrival !== "other");
  assertEquals([arrival.source, arrival.bytes.length], [parseAddress("fe80::a"), 7]);
  await netns.ip("-6", "address", "add", "fe80::c/64", "dev", "eth0", "nodad");
  let fault: unknown;
  await open(netns, "fe80::c", false).catch((error) => fault = error);
  assertThrows(() => {
    throw fault;
  }, NetlinkError);
  assertEquals((fault as NetlinkError).errno, EINVAL, "the kernel asks for the link");
});

Deno.test("a port counts what the kernel had no room for", async () => {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  const address = parseAddress("127.0.0.1");
  const place = { address, hopLimit: 1 };
  using port = libc.inNetns(netns.path, () => UdpPort.open(libc, { ...place, port: PORT }, 100));
  using sender = libc.inNetns(netns.path, () => UdpPort.open(libc, { ...place, port: PORT + 1 }, 100));
  assertEquals(sender.send(new Uint8Array(7), address, PORT), 0);
  assertEquals(port.drops, 0);
  for (let count = 0; count < 20_000 && port.drops === 0; count++) {
    sender.send(new Uint8Array(7), address, PORT);
  }
  assert(port.drops > 0);
});
