import { assert, assertEquals } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { pairRounds, parsePing, targetOf } from "../../src/lab/measure.ts";
import { AF_INET, AF_INET6, type Family, formatAddress, formatMac } from "../../src/model/address.ts";
import { isErrno } from "../../src/linux/errno.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { Capture, decodeDatagram, decodeIpFrame, decodeVxlan } from "../double/overlay_capture.ts";
import { hostsOf, until, untilSettled, withOverlay } from "../double/overlay_rig.ts";
import { EMSGSIZE, NetnsSocket } from "../double/overlay_sockets.ts";
import { vtepOf } from "../double/overlay_state.ts";

/** Of IP and UDP, in front of the payload of a datagram. */
const HEADER_BYTES: Readonly<Record<Family, number>> = { [AF_INET]: 28, [AF_INET6]: 48 };
/** Of outer Ethernet, IP, UDP and VXLAN, less the outer Ethernet header, plus the inner one. */
const OVERHEAD_BYTES: Readonly<Record<Family, number>> = { [AF_INET]: 50, [AF_INET6]: 70 };
const UNDERLAY_MTU_BYTES = 1500;
const TEST_PORT = 7777;

interface Encapsulation {
  readonly vni: number;
  readonly port: number;
}

const kinds: { readonly name: string; readonly families: readonly Family[] }[] = [
  { name: "IPv4", families: [AF_INET] },
  { name: "IPv6", families: [AF_INET6] },
  { name: "IPv4 and IPv6", families: [AF_INET, AF_INET6] },
];

for (const isRouted of [false, true]) {
  for (const { name, families } of kinds) {
    const where = isRouted ? "behind a router" : "on one segment";
    Deno.test(`the overlay of three hosts ${where} carries ${name} between all pods`, async (t) => {
      await withOverlay({ isRouted, families }, async (lab, libc) => {
        await untilSettled(lab, libc);
        await t.step("every pod answers every other without loss", () => assertAllAnswer(lab));
        await datapathSteps(t, lab, libc, { vni: 1, port: 8472 });
      });
    });
  }
}

Deno.test("the overlay uses the VNI and the port of net-conf.json", async (t) => {
  const networkConfig = {
    Network: "10.244.0.0/16",
    EnableIPv6: true,
    IPv6Network: "fd00:10:244::/56",
    Backend: { Type: "vxlan", VNI: 4711, Port: 4789 },
  };
  await withOverlay({ hosts: 2, families: [AF_INET, AF_INET6], networkConfig }, async (lab, libc) => {
    await untilSettled(lab, libc);
    await datapathSteps(t, lab, libc, { vni: 4711, port: 4789 });
  });
});

async function datapathSteps(
  t: Deno.TestContext,
  lab: Lab,
  libc: Libc,
  encapsulation: Encapsulation,
): Promise<void> {
  const [h1, h2] = hostsOf(lab);
  for (const [index, family] of h1.families.entries()) {
    const name = family === AF_INET ? "IPv4" : "IPv6";
    for (const [from, to] of [[h1, h2], [h2, h1]] as const) {
      await t.step(
        `an ${name} datagram of exactly the overlay MTU passes from ${from.name} to ${to.name} as one packet`,
        () => assertLargestPasses(libc, from, to, index, encapsulation),
      );
    }
    await t.step(`an ${name} datagram one byte longer is refused at the sender`, () => {
      using sender = NetnsSocket.udp(libc, h1.pod.netns, family);
      sender.connect(h2.pod.addresses[index]!, TEST_PORT);
      const tooLong = new Uint8Array(h1.share.mtuBytes - HEADER_BYTES[family] + 1);
      let refusal: unknown;
      try {
        sender.send(tooLong);
      } catch (error) {
        refusal = error;
      }
      assert(isErrno(refusal, EMSGSIZE), String(refusal));
    });
  }
}

async function assertAllAnswer(lab: Lab): Promise<void> {
  for (const round of pairRounds(lab.hosts, lab.hosts[0]!.families)) {
    await Promise.all(round.map(async (pair) => {
      const address = formatAddress(targetOf(pair));
      const { stdout } = await pair.from.podExec("ping", "-c3", "-i0.02", "-W2", address);
      const { sent, received } = parsePing(stdout);
      assertEquals([sent, received], [3, 3], `${pair.from.name} to ${pair.to.name} (${address})`);
    }));
  }
}

/** Sends the largest datagram that a pod may, and looks at it where it leaves, where it comes, and in the pod. */
async function assertLargestPasses(
  libc: Libc,
  from: LabHost,
  to: LabHost,
  index: number,
  { vni, port }: Encapsulation,
): Promise<void> {
  const family = from.families[index]!;
  const [source, target] = [from.pod.addresses[index]!, to.pod.addresses[index]!];
  const { mtuBytes } = from.share;
  const smallest = Math.min(...from.families.map((each) => UNDERLAY_MTU_BYTES - OVERHEAD_BYTES[each]));
  assertEquals(mtuBytes, smallest, "FLANNEL_MTU");
  const payload = crypto.getRandomValues(new Uint8Array(mtuBytes - HEADER_BYTES[family]));

  using receiver = NetnsSocket.udp(libc, to.pod.netns, family);
  receiver.bind(target, TEST_PORT);
  using leaving = new Capture(libc, from);
  using coming = new Capture(libc, to);
  using sender = NetnsSocket.udp(libc, from.pod.netns, family);
  sender.connect(target, TEST_PORT);
  sender.send(payload);
  assertEquals(await until("receive the datagram", () => receiver.receive()), payload);

  const fromVtep = vtepOf(from.client, family, vni).link;
  const toVtep = vtepOf(to.client, family, vni).link;
  for (const [capture, where] of [[leaving, from.name], [coming, to.name]] as const) {
    const ofUnderlay = capture.read().flatMap((frame) => {
      const outer = decodeIpFrame(frame);
      if (outer === undefined) return [];
      const isBetween = outer.source === from.underlayAddresses[index] &&
        outer.destination === to.underlayAddresses[index];
      return isBetween ? [{ frame, outer }] : [];
    });
    const isPiece = ofUnderlay.some(({ outer }) => outer.isFragment);
    assertEquals(isPiece, false, `a packet on the underlay of ${where} is a fragment`);
    const packets = ofUnderlay.flatMap(({ frame }) => decodeVxlan(frame, port) ?? [])
      .filter(({ inner }) => inner.source === source && inner.packetBytes === mtuBytes);
    assertEquals(packets.length, 1, `packets of the datagram on the underlay of ${where}`);
    const { outer, flags, vni: foundVni, inner } = packets[0]!;
    assertEquals(
      {
        outerBytes: outer.packetBytes,
        flags,
        vni: foundVni,
        sourceMac: formatMac(inner.sourceMac),
        destinationMac: formatMac(inner.destinationMac),
        source: formatAddress(inner.source),
        destination: formatAddress(inner.destination),
        innerBytes: inner.packetBytes,
        dontFragment: inner.dontFragment,
        isFragment: inner.isFragment,
      },
      {
        outerBytes: mtuBytes + OVERHEAD_BYTES[family],
        flags: 0x08,
        vni,
        sourceMac: formatMac(fromVtep.mac),
        destinationMac: formatMac(toVtep.mac),
        source: formatAddress(source),
        destination: formatAddress(target),
        innerBytes: mtuBytes,
        dontFragment: true,
        isFragment: false,
      },
      `on the underlay of ${where}`,
    );
    assertEquals(decodeDatagram(inner.payload).payload, payload);
  }
}
