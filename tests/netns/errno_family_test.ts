import { assert, assertEquals, assertGreater, assertNotEquals } from "@std/assert";
import { vxlanBackend } from "../../src/overlay/backend/vxlan.ts";
import { AF_INET, AF_INET6, type Family, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { RTM_DELADDR, RTM_NEWADDR } from "../../src/rtnetlink/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { EINTR, ENOBUFS, ENODEV, EPERM, errnoName } from "../../src/linux/errno.ts";
import { Libc } from "../../src/linux/libc.ts";
import { RTM_DELNEIGH, RTM_NEWNEIGH } from "../../src/rtnetlink/neighbour.ts";
import { RTM_DELROUTE, RTM_NEWROUTE } from "../../src/rtnetlink/route_header.ts";
import { RTM_NEWLINK } from "../../src/rtnetlink/link_header.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";
import { Observer } from "../../src/reconcile/observe.ts";
import { reconcileOnce } from "../../src/reconcile/reconciler.ts";
import { linesOf } from "../double/kernel_lines.ts";
import { refusingAll, type Request } from "../double/refusing.ts";
import { leaseOf, TestHost } from "../double/test_host.ts";

const ENOMEM = 12;
const RTM_GETROUTE = 26;
const RTM_GETNEIGH = 30;
const EBUSY = 16;
const ERRNOS = [EBUSY, ENOBUFS, EINTR, EPERM, ENODEV, ENOMEM];

const NETWORKS = ["10.244.0.0/16", "fd00:10:244::/48"].map(parsePrefix);
const ADDRESS6 = parseAddress("2001:db8::1");

/** A lease of both families. */
function leaseNumber(n: number): Lease {
  const mac = `0e:2a:00:00:00:0${n}`;
  const halves = [
    leaseOf(`h${n}`, `10.244.${n}.0/24`, `192.0.2.${n}`, mac),
    leaseOf(`h${n}`, `fd00:10:244:${n}::/64`, `2001:db8::${n}`, mac),
  ];
  return { ...halves[0]!, parts: halves.flatMap(({ parts }) => parts) };
}

/** The message is of one of `types` and of `family`, the first byte behind its header. */
function isAbout(types: readonly number[], family: Family): (request: Request) => boolean {
  return ({ bytes, type }) => types.includes(type) && bytes[16] === family;
}

const BROKEN = [
  { name: "IPv4", family: AF_INET, vtep: "flannel.1", own: "10.244.1.0/32" },
  { name: "IPv6", family: AF_INET6, vtep: "flannel-v6.1", own: "fd00:10:244:1::/128" },
] as const;

for (const { name, family, vtep } of BROKEN) {
  const isCreation = ({ bytes, type }: Request) =>
    type === RTM_NEWLINK && new TextDecoder("latin1").decode(bytes).includes(`${vtep}\0`);
  for (
    const [what, isRefused] of [
      ["make the VTEP", isCreation],
      ["change addresses", isAbout([RTM_NEWADDR, RTM_DELADDR], family)],
      ["change neighbours", isAbout([RTM_NEWNEIGH, RTM_DELNEIGH], family)],
      ["change routes", isAbout([RTM_NEWROUTE, RTM_DELROUTE], family)],
      ["read neighbours", isAbout([RTM_GETNEIGH], family)],
      ["read routes", isAbout([RTM_GETROUTE], family)],
    ] as const
  ) {
    Deno.test(`where the kernel always refuses to ${what} of ${name}, each pass mends the other family`, async () => {
      using libc = new Libc();
      await using host = await TestHost.open(libc);
      await host.netns.ip("address", "add", "2001:db8::1/64", "dev", "eth0", "nodad");
      const { state, faults } = vxlanBackend(
        { vni: 1, port: 8472, gbp: false, learning: false, directRouting: false },
        { networks: NETWORKS },
      ).desire(
        {
          ...host.underlay,
          addresses: [...host.underlay.addresses, {
            family: AF_INET6,
            address: ADDRESS6,
            advertised: ADDRESS6,
            mtuBytes: 1500,
            segments: [parsePrefix("2001:db8::/64")],
          }],
        },
        leaseNumber(1),
        [2, 3, 4].map(leaseNumber),
      );
      assertEquals(faults, []);
      const pass = (transport?: NetlinkTransport) => {
        const deps = host.deps([], transport);
        return reconcileOnce({ ...deps, desire: () => ({ ...deps.desire()!, state }) })!;
      };
      const observer = new Observer(new NetlinkClient(host.transport));
      const all = () => linesOf(observer, state);
      const others = () => all().filter((line) => !line.split(" ").includes(vtep));

      assertEquals(pass().failures, []);
      const whole = all();
      const expected = others();
      assert(expected.length > 8, expected.join("\n"));
      for (const errno of ERRNOS) {
        for (const { vtep } of BROKEN) await host.netns.ip("link", "delete", vtep);
        const refusing = refusingAll(host.transport, errno, isRefused);
        assertGreater(pass(refusing).failureCount, 0, errnoName(errno));
        assertEquals(others(), expected, errnoName(errno));
        for (const { vtep, own } of BROKEN) {
          await host.netns.run("ip", "address", "delete", own, "dev", vtep);
          await host.netns.run("ip", "neigh", "flush", "dev", vtep, "nud", "permanent");
        }
        assertNotEquals(others(), expected, errnoName(errno));
        assertGreater(pass(refusing).failureCount, 0, errnoName(errno));
        assertEquals(others(), expected, errnoName(errno));
        assertEquals(pass().failures, [], errnoName(errno));
        assertEquals(all(), whole, errnoName(errno));
      }
    });
  }
}
