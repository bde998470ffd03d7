import { assertEquals } from "@std/assert";
import { parseAddress, parseMac } from "../../src/model/address.ts";
import type { ObservedLink, VxlanLink } from "../../src/model/state.ts";
import {
  decodeLink,
  encodeLinkChange,
  encodeLinkDeletion,
  encodeLinkDump,
  encodeLinkQuery,
} from "../../src/rtnetlink/link.ts";
import { encodeBridge, encodeVeth } from "../../src/rtnetlink/veth.ts";
import { encodeVxlanLink, encodeVxlanRepair } from "../../src/rtnetlink/vxlan.ts";
import { CAPTURES } from "../netlink/captures.ts";
import { eachMessage, fromHex, type RequestCase, testRequests } from "../netlink/golden.ts";

const flannel9: VxlanLink = {
  kind: "vxlan",
  name: "flannel.9",
  vni: 9,
  port: 8472,
  mtuBytes: 1450,
  mac: parseMac("0e:2a:00:00:00:09"),
  local: parseAddress("192.0.2.1"),
  underlayLinkIndex: 2,
  learning: false,
  gbp: false,
};

const flannelV6: VxlanLink = {
  ...flannel9,
  name: "flannel-v6.8",
  vni: 8,
  port: 8473,
  mtuBytes: 1430,
  mac: parseMac("0e:2a:00:00:00:08"),
  local: parseAddress("2001:db8::1"),
  learning: true,
  gbp: true,
};

const LAYOUT = "iproute2 orders otherwise, and leaves out nested bits and the zero behind the kind";
/** With the zero that iproute2 leaves out. */
const VXLAN = "76786c616e00";
const STATISTICS = "iproute2 asks for families and virtual functions, ours leaves out statistics";

const requests: RequestCase[] = [
  {
    command:
      "ip link add flannel.9 mtu 1450 address 0e:2a:00:00:00:09 type vxlan id 9 dev eth0 local 192.0.2.1 nolearning ttl 0 tos 0 noproxy norsc nol2miss nol3miss noudp6zerocsumtx noudp6zerocsumrx dstport 8472",
    wire: `
      c000000010000506ecd7036b000000000000000000000000000000000000000008000400aa0500000a0001000e2a00000009
      00000e000300666c616e6e656c2e390000007c0012000900010076786c616e0000006c000200080003000200000005000500
      00000000050006000000000005000b000000000005000c000000000005000d000000000005000e0000000000050013000000
      00000500140000000000080001000900000008000400c0000201050007000000000006000f0021180000
    `,
    write: (writer, sequence) => encodeVxlanLink(writer, sequence, flannel9),
    differs: { why: LAYOUT, replace: { "18.1": VXLAN } },
  },
  {
    command:
      "ip link add flannel-v6.8 mtu 1430 address 0e:2a:00:00:00:08 type vxlan id 8 dev eth0 local 2001:db8::1 learning ttl 0 tos 0 noproxy norsc nol2miss nol3miss noudp6zerocsumtx noudp6zerocsumrx dstport 8473 gbp",
    wire: `
      d400000010000506ecd7036b000000000000000000000000000000000000000008000400960500000a0001000e2a00000008
      000011000300666c616e6e656c2d76362e38000000008c0012000900010076786c616e0000007c0002000800030002000000
      0500050000000000050006000000000005000b000000000005000c000000000005000d000000000005000e00000000000500
      13000000000005001400000000000400170008000100080000001400110020010db800000000000000000000000105000700
      0100000006000f0021190000
    `,
    write: (writer, sequence) => encodeVxlanLink(writer, sequence, flannelV6),
    differs: { why: LAYOUT, replace: { "18.1": VXLAN } },
  },
  {
    command: "ip link set flannel.9 type vxlan dev eth0 local 192.0.2.1 nolearning",
    wire: `
      4c00000010000500ecd7036b00000000000000000400000000000000000000002c0012000900010076786c616e0000001c00
      0200080003000200000008000400c00002010500070000000000
    `,
    write: (writer, sequence) => encodeVxlanRepair(writer, sequence, 4, flannel9),
    differs: { why: LAYOUT, replace: { "18.1": VXLAN } },
  },
  {
    command: "ip link delete flannel.9",
    wire: "2000000011000500ecd7036b0000000000000000040000000000000000000000",
    write: (writer, sequence) => encodeLinkDeletion(writer, sequence, 4),
  },
  {
    command: "ip link add cni1 up type bridge",
    wire: `
      3c00000010000506ecd7036b000000000000000000000000010000000100000009000300636e693100000000100012000a00
      01006272696467650000
    `,
    write: (writer, sequence) => encodeBridge(writer, sequence, "cni1"),
    differs: { why: LAYOUT, replace: { "18.1": "62726964676500" } },
  },
  {
    command: "ip link add veth1 type veth peer name eth0 netns NETNS",
    wire: `
      6400000010000506ecd7036b00000000000000000000000000000000000000000a0003007665746831000000380012000800
      0100766574682c000200280001000000000000000000000000000000000008001c0004000000090003006574683000000000
    `,
    write: (writer, sequence) => encodeVeth(writer, sequence, "veth1", { name: "eth0", netnsFd: 4 }),
    differs: {
      why: LAYOUT,
      replace: {
        "18.1": "7665746800",
        "18.2.1": "0000000000000000000000000000000009000300657468300000000008001c0004000000",
      },
    },
  },
  {
    command: "ip link set flannel.1 up",
    wire: "2000000010000500ecd7036b0000000000000000050000000100000001000000",
    write: (writer, sequence) => encodeLinkChange(writer, sequence, 5, { isUp: true }),
  },
  {
    command: "ip link set flannel.1 protodown off",
    wire: "2800000010000500ecd7036b000000000000000005000000000000000000000005002700 00000000",
    write: (writer, sequence) => encodeLinkChange(writer, sequence, 5, { isProtoDown: false }),
  },
  {
    command: "ip link set flannel.1 down",
    wire: "2000000010000500ecd7036b0000000000000000050000000000000001000000",
    write: (writer, sequence) => encodeLinkChange(writer, sequence, 5, { isUp: false }),
  },
  {
    command: "ip link set flannel.1 mtu 1400",
    wire: "2800000010000500ecd7036b00000000000000000500000000000000000000000800040078050000",
    write: (writer, sequence) => encodeLinkChange(writer, sequence, 5, { mtuBytes: 1400 }),
  },
  {
    command: "ip link set flannel.1 address 0e:2a:00:00:00:01",
    wire: "2c00000010000500edd7036b00000000000000000500000000000000000000000a0001000e2a000000010000",
    write: (writer, sequence) =>
      encodeLinkChange(writer, sequence, 5, { mac: parseMac("0e:2a:00:00:00:01") }),
  },
  {
    command: "ip link set veth1 master cni0",
    wire: "2800000010000500ecd7036b00000000000000000a000000000000000000000008000a0006000000",
    write: (writer, sequence) => encodeLinkChange(writer, sequence, 10, { master: 6 }),
  },
  {
    command: "ip link show dev flannel.1",
    wire: `
      3800000012000100ecd7036b00000000110000000000000000000000000000000e000300666c616e6e656c2e310000000800
      1d0001000000
    `,
    write: (writer, sequence) => encodeLinkQuery(writer, sequence, "flannel.1"),
    differs: {
      why: STATISTICS,
      replace: { "29": "08000000", header: "00000000000000000000000000000000" },
    },
  },
  {
    command: "ip -d link show",
    wire: "2800000012000103ecd7036b000000001100000000000000000000000000000008001d0001000000",
    write: (writer, sequence) => encodeLinkDump(writer, sequence),
    differs: {
      why: STATISTICS,
      replace: { "29": "08000000", header: "00000000000000000000000000000000" },
    },
  },
];

testRequests("link", requests);

const plain = { vxlan: undefined, isUp: true };
const vxlan = { learning: false, gbp: false, isForeign: false, underlayLinkIndex: 2 };

const observed: ObservedLink[] = [
  {
    ...plain,
    linkIndex: 1,
    name: "lo",
    resolvesNothing: true,
    mtuBytes: 65536,
    mac: parseMac("00:00:00:00:00:00"),
    kind: undefined,
  },
  { ...plain, linkIndex: 2, name: "eth0", mtuBytes: 1500, mac: parseMac("02:00:00:00:00:02"), kind: "veth" },
  {
    ...plain,
    linkIndex: 3,
    name: "eth0-p",
    mtuBytes: 1500,
    mac: parseMac("02:00:00:00:00:03"),
    kind: "veth",
  },
  {
    linkIndex: 5,
    name: "flannel.1",
    isUp: true,
    mtuBytes: 1450,
    mac: parseMac("0e:2a:00:00:00:01"),
    kind: "vxlan",
    vxlan: { ...vxlan, vni: 1, port: 8472, local: parseAddress("192.0.2.1"), gbp: true },
  },
  {
    ...plain,
    linkIndex: 6,
    // It has no port.
    hasNoCarrier: true,
    name: "cni0",
    mtuBytes: 1500,
    mac: parseMac("02:00:00:00:00:06"),
    kind: "bridge",
  },
  {
    linkIndex: 7,
    name: "flannel-v6.1",
    isUp: true,
    mtuBytes: 1430,
    mac: parseMac("0e:2a:00:00:00:61"),
    kind: "vxlan",
    vxlan: { ...vxlan, vni: 1, port: 8472, local: parseAddress("2001:db8::1"), learning: true },
  },
  {
    linkIndex: 8,
    name: "vxlan42",
    isUp: false,
    mtuBytes: 1450,
    mac: parseMac("0e:2a:00:00:00:42"),
    kind: "vxlan",
    // It has a multicast group and asks about misses.
    vxlan: { ...vxlan, vni: 42, port: 4789, local: undefined, learning: true, isForeign: true },
  },
];

Deno.test("decodeLink() reads every link of `ip -d link show`", () => {
  const links: (ObservedLink | undefined)[] = [];
  eachMessage(fromHex(CAPTURES.links), (message) => links.push(decodeLink(message)));
  const end = links.pop();
  assertEquals(links, observed);
  assertEquals(end, undefined, "NLMSG_DONE is not a link");
});
