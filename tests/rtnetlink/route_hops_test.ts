import { assertEquals, assertThrows } from "@std/assert";
import { formatAddress } from "../../src/model/address.ts";
import { AttributeReader } from "../../src/netlink/attribute.ts";
import { decodeNextHops, decodeVia } from "../../src/rtnetlink/route_hops.ts";
import { fromHex } from "../netlink/golden.ts";

const RTA_MULTIPATH = 9;

/** A reader that stands at an attribute with this payload. */
function attributeOf(payload: string, type = RTA_MULTIPATH): AttributeReader {
  const length = payload.length / 2 + 4;
  const bytes = fromHex(
    [length & 0xff, length >> 8, type, 0].map((byte) => byte.toString(16).padStart(2, "0")).join("") +
      payload,
  );
  const reader = new AttributeReader(new DataView(bytes.buffer), 0, bytes.length);
  reader.next();
  return reader;
}

// ip route add 10.244.9.0/24 nexthop via 192.0.2.7 dev eth0 onlink nexthop dev flannel.1 weight 2, with links 2 and 5.
const TWO = "1000040002000000" + "08000500c0000207" + "0800000105000000";
// ip route add 10.244.9.0/24 nexthop via inet6 fe80::1 dev eth0 nexthop dev flannel.1
const OTHER_FAMILY = "2000000002000000" + "160012000a00fe80000000000000000000000000000100" + "00" +
  "0800000005000000";

Deno.test("decodeNextHops() reads link, flags and gateway of each next hop", () => {
  assertEquals(
    decodeNextHops(attributeOf(TWO)).map(({ gateway, ...hop }) => ({ ...hop, gateway: [...gateway] })),
    [
      { linkIndex: 2, flags: 4, gateway: [0xc0000207, 0, 0, 0] },
      { linkIndex: 5, flags: 0, gateway: [0, 0, 0, 0] },
    ],
  );
});

Deno.test("decodeNextHops() reads a gateway of the other family, which is no gateway in four words", () => {
  const [first, second] = decodeNextHops(attributeOf(OTHER_FAMILY));
  assertEquals([formatAddress(first!.via!), [...first!.gateway]], ["fe80::1", [0, 0, 0, 0]]);
  assertEquals([second!.linkIndex, second!.via], [5, undefined]);
});

const malformed: [what: string, payload: string, said: string][] = [
  ["no header", "0800", "2 bytes are left and it claims 0"],
  ["fewer bytes than its header", "0400000002000000", "8 bytes are left and it claims 4"],
  ["a length of nothing, which would never end", "0000000002000000", "8 bytes are left and it claims 0"],
  ["more bytes than there are", "1000000002000000", "8 bytes are left and it claims 16"],
];

for (const [what, payload, said] of malformed) {
  Deno.test(`decodeNextHops() refuses a next hop with ${what}`, () => {
    assertThrows(() => decodeNextHops(attributeOf(payload)), SyntaxError, said);
  });
}

Deno.test("decodeVia() refuses an address that is cut off", () => {
  assertThrows(() => decodeVia(attributeOf("0a00fe80", 18)), SyntaxError, "it has 4 bytes");
});
