import { assertEquals, assertThrows } from "@std/assert";
import { AF_INET, AF_INET6, parseAddress, parseMac } from "../../src/model/address.ts";
import { dumpAddresses, encodeAddress, encodeAddressDeletion } from "../../src/rtnetlink/address.ts";
import { NetlinkError } from "../../src/linux/errno.ts";
import { encodeLinkDeletion, queryLink } from "../../src/rtnetlink/link.ts";
import { encodeBridge, encodeVeth } from "../../src/rtnetlink/veth.ts";
import { encodeVxlanLink, encodeVxlanRepair } from "../../src/rtnetlink/vxlan.ts";
import { TestNetns } from "../double/netns.ts";
import { Host, lines } from "./netlink_host.ts";

Deno.test("a VXLAN link is created as asked, is read back so, is repaired in place and deleted alone", async () => {
  await using host = await Host.open();
  const { client, netns } = host;
  for (
    const asked of [
      host.vtep(),
      host.vtep({
        name: "flannel-v6.1",
        vni: 0xfffffe,
        port: 8473,
        local: parseAddress("2001:db8::1"),
        mac: parseMac("0e:2a:00:00:00:02"),
        mtuBytes: 1430,
        learning: true,
        gbp: true,
      }),
    ]
  ) {
    client.request("create link", (writer, sequence) => encodeVxlanLink(writer, sequence, asked));
    const [shown] = await netns.ipJson("link", "show", "dev", asked.name);
    const { info_kind, info_data } = shown!.linkinfo as Record<string, Record<string, unknown>>;
    const isIpv4 = typeof asked.local === "number";
    assertEquals(
      {
        kind: info_kind as unknown,
        flags: shown!.flags,
        mtu: shown!.mtu,
        address: shown!.address,
        id: info_data!.id,
        link: info_data!.link,
        local: info_data!.local ?? info_data!.local6,
        port: info_data!.port,
        learning: info_data!.learning,
        gbp: info_data!.gbp ?? false,
        ttl: info_data!.ttl,
        l3miss: info_data!.l3miss ?? false,
        group: info_data!.group ?? info_data!.group6,
      },
      {
        kind: "vxlan",
        flags: ["BROADCAST", "MULTICAST"],
        mtu: asked.mtuBytes,
        address: isIpv4 ? "0e:2a:00:00:00:01" : "0e:2a:00:00:00:02",
        id: asked.vni,
        link: "eth0",
        local: isIpv4 ? "192.0.2.1" : "2001:db8::1",
        port: asked.port,
        learning: asked.learning,
        gbp: asked.gbp,
        ttl: 0,
        l3miss: false,
        group: undefined,
      },
    );
    const { vni, port, local, underlayLinkIndex, learning, gbp } = asked;
    assertEquals(queryLink(client, asked.name), {
      linkIndex: shown!.ifindex as number,
      name: asked.name,
      isUp: false,
      mtuBytes: asked.mtuBytes,
      mac: asked.mac,
      kind: "vxlan",
      vxlan: { vni, port, local, underlayLinkIndex, learning, gbp, isForeign: false },
    });
  }

  await netns.ip("address", "add", "192.0.2.2/24", "dev", "eth0");
  const before = queryLink(client, "flannel.1")!;
  host.change(before.linkIndex, { isUp: true });
  const repaired = host.vtep({ local: parseAddress("192.0.2.2"), learning: true });
  client.request(
    "repair link",
    (writer, sequence) => encodeVxlanRepair(writer, sequence, before.linkIndex, repaired),
  );
  assertEquals(queryLink(client, "flannel.1"), {
    ...before,
    isUp: true,
    vxlan: { ...before.vxlan!, local: repaired.local, learning: true },
  });

  client.request(
    "delete link",
    (writer, sequence) => encodeLinkDeletion(writer, sequence, before.linkIndex),
  );
  assertEquals(host.links().map(({ name }) => name).sort(), ["eth0", "eth0-p", "flannel-v6.1", "lo"]);
});

Deno.test("a bridge and a veth pair into another namespace are created and changed as asked", async () => {
  await using host = await Host.open();
  await using pod = await TestNetns.create();
  const { client, netns, libc } = host;
  client.request("create bridge", (writer, sequence) => encodeBridge(writer, sequence, "cni0"));
  const path = new TextEncoder().encode(`${pod.path}\0`);
  const netnsFd = libc.checked("open namespace", libc.call.open(path, 0));
  try {
    client.request(
      "create veth",
      (writer, sequence) => encodeVeth(writer, sequence, "veth1", { name: "eth0", netnsFd }),
    );
  } finally {
    libc.call.close(netnsFd);
  }
  const bridge = queryLink(client, "cni0")!;
  assertEquals({ kind: bridge.kind, isUp: bridge.isUp }, { kind: "bridge", isUp: true });
  const veth = queryLink(client, "veth1")!;
  const mac = parseMac("02:00:00:00:00:99");
  host.change(veth.linkIndex, { isUp: true, master: bridge.linkIndex, mtuBytes: 1450, mac });
  assertEquals(queryLink(client, "veth1"), {
    ...veth,
    isUp: true,
    // Its other end is down.
    hasNoCarrier: true,
    mtuBytes: 1450,
    mac,
    masterIndex: bridge.linkIndex,
  });
  const [shown] = await netns.ipJson("link", "show", "dev", "veth1");
  assertEquals(shown!.master, "cni0");
  host.change(veth.linkIndex, { mtuBytes: 1400 });
  assertEquals(queryLink(client, "veth1"), {
    ...veth,
    isUp: true,
    hasNoCarrier: true,
    mtuBytes: 1400,
    mac,
    masterIndex: bridge.linkIndex,
  });
  const [peer] = await pod.ipJson("link", "show", "dev", "eth0");
  assertEquals((peer!.linkinfo as Record<string, unknown>).info_kind, "veth");
});

Deno.test("addresses are added as asked, usable at once, read back and deleted alone", async () => {
  await using host = await Host.open();
  const { client, netns } = host;
  const linkIndex = await host.createVtep();
  await netns.ip("address", "flush", "dev", "flannel.1");
  const ipv4 = { linkIndex, address: parseAddress("10.244.1.0"), length: 32 };
  const ipv6 = { linkIndex, address: parseAddress("fd00:10:244:1::"), length: 128 };
  for (const value of [ipv4, ipv6]) {
    client.request("add address", (writer, sequence) => encodeAddress(writer, sequence, value));
    // Again, as after a restart.
    client.request("add address", (writer, sequence) => encodeAddress(writer, sequence, value));
  }
  assertEquals(
    lines(await netns.ip("-o", "address", "show", "dev", "flannel.1")).map((line) =>
      line.split("\\")[0]!.trim()
    ),
    [
      `${linkIndex}: flannel.1 inet 10.244.1.0/32 scope global flannel.1`,
      `${linkIndex}: flannel.1 inet6 fd00:10:244:1::/128 scope global nodad`,
    ],
  );
  assertEquals(dumpAddresses(client, linkIndex), [
    { ...ipv4, family: AF_INET, scope: 0, flags: 0x80 },
    { ...ipv6, family: AF_INET6, scope: 0, flags: 0x82 },
  ]);
  await netns.ip("address", "add", "10.244.1.7/32", "dev", "flannel.1", "scope", "link");
  client.request("delete address", (writer, sequence) => encodeAddressDeletion(writer, sequence, ipv4));
  assertEquals(dumpAddresses(client, linkIndex), [
    { linkIndex, family: AF_INET, address: parseAddress("10.244.1.7"), length: 32, scope: 253, flags: 0x80 },
    { ...ipv6, family: AF_INET6, scope: 0, flags: 0x82 },
  ]);
  const error = assertThrows(
    () =>
      client.request("delete address", (writer, sequence) => encodeAddressDeletion(writer, sequence, ipv4)),
    NetlinkError,
  );
  assertEquals(error.message, 'Cannot delete address: EADDRNOTAVAIL, "ipv4: Address not found"');
});
