import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { familyOf, formatAddress, formatPrefix, parseAddress } from "../../../src/model/address.ts";
import type { ObservedAddress, ObservedLink } from "../../../src/model/state.ts";
import { formatCandidates, segmentsOf, usableAddresses } from "../../../src/overlay/underlay/addresses.ts";

const TEMPORARY = 0x01;
const OPTIMISTIC = 0x04;
const DADFAILED = 0x08;
const DEPRECATED = 0x20;
const TENTATIVE = 0x40;
const PERMANENT = 0x80;

const ETH0: ObservedLink = {
  linkIndex: 2,
  name: "eth0",
  isUp: true,
  mtuBytes: 1500,
  mac: undefined,
  kind: undefined,
  vxlan: undefined,
};

function on(text: string, flags = PERMANENT, linkIndex = 2): ObservedAddress {
  const [host, length = "24"] = text.split("/");
  const address = parseAddress(host!);
  return { linkIndex, family: familyOf(address), address, length: Number(length), scope: 0, flags };
}

const cases: [name: string, addresses: ObservedAddress[], usable: string[], why: string][] = [
  ["the kernel's order", [on("10.0.0.2"), on("10.0.0.1")], ["10.0.0.2", "10.0.0.1"], "both are as good"],
  [
    "global first",
    [on("169.254.0.1"), on("10.0.0.1")],
    ["10.0.0.1", "169.254.0.1"],
    "link-local has no router",
  ],
  [
    "permanent first",
    [on("10.0.0.1", 0), on("10.0.0.2")],
    ["10.0.0.2", "10.0.0.1"],
    "a dynamic one goes away",
  ],
  [
    "temporary last",
    [on("2001:db8::1", TEMPORARY), on("2001:db8::2", 0)],
    ["2001:db8::2", "2001:db8::1"],
    "privacy",
  ],
  [
    "stability before permanence",
    [on("10.0.0.2", PERMANENT | TEMPORARY), on("10.0.0.1", 0)],
    ["10.0.0.1", "10.0.0.2"],
    "a virtual IP is a permanent secondary, what DHCP gave is dynamic",
  ],
  [
    "scope before permanence",
    [on("fe80::1"), on("2001:db8::1", TEMPORARY)],
    ["2001:db8::1", "fe80::1"],
    "each mark is worth more than those after it",
  ],
  ["no deprecated", [on("10.0.0.1", DEPRECATED), on("10.0.0.2")], ["10.0.0.2"], "nothing new may use it"],
  ["no duplicate", [on("fd00::1", DADFAILED), on("fd00::2")], ["fd00::2"], "another host has it"],
  ["no tentative", [on("fd00::1", TENTATIVE), on("fd00::2")], ["fd00::2"], "another host may have it"],
  [
    "an optimistic one",
    [on("fd00::1", TENTATIVE | OPTIMISTIC)],
    ["fd00::1"],
    "the kernel sends from it already",
  ],
  [
    "a virtual IP last",
    [on("192.0.2.200/32"), on("192.0.2.1/24", TEMPORARY)],
    ["192.0.2.1", "192.0.2.200"],
    "it goes to another host one day",
  ],
  [
    "a virtual IP last in IPv6",
    [on("2001:db8::aaaa/128"), on("2001:db8::1/64", TEMPORARY)],
    ["2001:db8::1", "2001:db8::aaaa"],
    "the kernel lists the newest first",
  ],
  [
    "an address without prefix that is alone",
    [on("10.128.0.2/32", 0), on("169.254.7.7/16")],
    ["10.128.0.2", "169.254.7.7"],
    "some clouds give no other",
  ],
  [
    "one without prefix before a link-local one",
    [on("fe80::1/64"), on("2001:db8::1/128", 0)],
    ["2001:db8::1", "fe80::1"],
    "DHCPv6 gives no other",
  ],
  ["no other link", [on("10.0.0.1", 0, 3), on("10.0.0.2")], ["10.0.0.2"], "it is on another"],
  ["private ones", [on("192.168.0.1"), on("10.0.0.1")], ["192.168.0.1", "10.0.0.1"], "Go calls them global"],
  [
    "no special ones",
    [
      on("127.0.0.1"),
      on("0.0.0.0"),
      on("224.0.0.1"),
      on("255.255.255.255"),
    ],
    [],
    "they are nobody's",
  ],
  ["no special ones of IPv6", [on("::1"), on("::"), on("ff02::1")], [], "they are nobody's"],
];

for (const [name, addresses, usable, why] of cases) {
  Deno.test(`usableAddresses() lists ${name}: ${why}`, () => {
    const found = usableAddresses(addresses, ETH0, addresses[0]!.family);
    assertEquals(found.map(({ entry }) => formatAddress(entry.address)), usable);
  });
}

Deno.test("usableAddresses() puts what the cluster knows the host by before its other global addresses", () => {
  const addresses = [on("fe80::9"), on("10.0.0.1"), on("10.0.0.2", TEMPORARY), on("10.0.0.3/32", 0)];
  const nodes = ["10.0.0.3", "fe80::9"].map(parseAddress);
  const first = usableAddresses(addresses, ETH0, 2, nodes).map(({ entry }) => formatAddress(entry.address));
  assertEquals(first, ["10.0.0.3", "10.0.0.1", "10.0.0.2"]);
  const [deprecated, other] = [on("10.0.0.3", DEPRECATED), on("10.0.0.1")];
  const rest = usableAddresses([deprecated, other], ETH0, 2, nodes);
  assertEquals(
    rest.map(({ entry }) => formatAddress(entry.address)),
    ["10.0.0.1"],
    "but only if it is usable",
  );
});

Deno.test("segmentsOf() has nothing of an address without prefix: a virtual IP changes nothing", () => {
  const addresses = [on("192.0.2.1/24"), on("192.0.2.200/32"), on("192.0.2.9/24"), on("10.0.0.1/8", 0, 3)];
  assertEquals(segmentsOf(addresses, ETH0, 2).map(formatPrefix), ["192.0.2.0/24"]);
});

Deno.test("usableAddresses() chooses the same address in whatever order the kernel lists them", () => {
  const addresses = [on("fe80::1"), on("2001:db8::1", TEMPORARY), on("2001:db8::2", 0), on("2001:db8::3")];
  const shuffled = fc.shuffledSubarray(addresses, { minLength: addresses.length });
  fc.assert(fc.property(shuffled, (listed) => {
    const found = usableAddresses(listed, ETH0, listed[0]!.family);
    assertEquals(found.map(({ entry }) => formatAddress(entry.address)), [
      "2001:db8::3",
      "2001:db8::2",
      "2001:db8::1",
      "fe80::1",
    ]);
  }));
});

Deno.test("formatCandidates() leaves out links without addresses, and ends", () => {
  const links = Array.from(
    { length: 40 },
    (_, index) => ({ ...ETH0, linkIndex: index, name: `veth${index}` }),
  );
  assertEquals(formatCandidates(links, []), "no link has an address");
  assertEquals(formatCandidates(links, [on("10.0.0.1", 0, 7)]), "the links are veth7: [10.0.0.1]");
  const all = links.map(({ linkIndex }) => on("10.0.0.1", 0, linkIndex));
  assertEquals(formatCandidates(links, all).endsWith("veth15: [10.0.0.1] and 24 more"), true);
});
