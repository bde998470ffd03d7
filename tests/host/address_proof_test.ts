import { assertEquals, assertRejects } from "@std/assert";
import { assertSpyCalls, spy } from "@std/testing/mock";
import { FakeTime } from "@std/testing/time";
import {
  type AddressMove,
  type AddressProofDeps,
  type Proof,
  proveAddresses,
} from "../../src/host/address_proof.ts";
import type { ProbeSocket } from "../../src/host/probe.ts";
import { type Address, familyOf, formatAddress, parseAddress } from "../../src/model/address.ts";
import { EAGAIN, NetlinkError } from "../../src/linux/errno.ts";
import type { UdpPath } from "../../src/linux/udp_socket.ts";

const ECONNREFUSED = 111;
const ENETUNREACH = 101;
const EPERM = 1;

const move = (from: string, to: string): AddressMove => ({
  from: { address: parseAddress(from), linkName: "eth0" },
  to: { address: parseAddress(to), linkName: "eth1" },
});
const IPV4 = move("192.0.2.1", "198.51.100.1");
const IPV6 = move("2001:db8::1", "2001:db8:1::1");
const PEERS = ["192.0.2.2", "192.0.2.3", "2001:db8::2"].map((text) => ({ address: parseAddress(text) }));

/** Peers that answer what comes from some addresses, from the given round on. */
function world(answered: Readonly<Record<string, number>>, peers: readonly { address: Address }[] = PEERS) {
  const close = spy();
  const deps = {
    peers: () => peers,
    open: spy((path: UdpPath): ProbeSocket => {
      const source = formatAddress(path.source);
      const round = 1 + deps.open.calls.filter(({ args: [other] }) => other.source === path.source).length;
      const from = answered[source];
      return {
        send: () => 0,
        receive: () => from !== undefined && round >= from ? ECONNREFUSED : EAGAIN,
        [Symbol.dispose]: close,
      };
    }),
    random: Math.random,
  };
  return { deps, close, asked: () => deps.open.calls.map(({ args: [path] }) => path) };
}

/** Proves, in time that goes by at once. */
async function prove(
  deps: AddressProofDeps,
  moves: AddressMove[],
): Promise<{ proof: Proof; tookMs: number }> {
  using time = new FakeTime(0);
  const proving = proveAddresses(deps, moves, { signal: NEVER });
  while (await time.nextAsync());
  return { proof: await proving, tookMs: time.now };
}

const NEVER = new AbortController().signal;

const cases: [answered: Record<string, number>, moves: AddressMove[], proof: string, why: string][] = [
  [{ "198.51.100.1": 1 }, [IPV4], "answered", "the new one is answered"],
  [{ "192.0.2.1": 1, "198.51.100.1": 1 }, [IPV4], "answered", "both are answered"],
  [{ "192.0.2.1": 1 }, [IPV4], "worse", "only the old one is answered"],
  [{}, [IPV4], "silent", "nobody answers"],
  [{ "192.0.2.1": 1, "198.51.100.1": 4 }, [IPV4], "answered", "the new one is answered later"],
  [{ "198.51.100.1": 1, "2001:db8:1::1": 1 }, [IPV4, IPV6], "answered", "both families are answered"],
  [{ "198.51.100.1": 1, "2001:db8::1": 1 }, [IPV4, IPV6], "worse", "one family would be worse off"],
  [{ "198.51.100.1": 1 }, [IPV4, IPV6], "silent", "one family is answered from neither"],
];

for (const [answered, moves, proof, why] of cases) {
  Deno.test(`proveAddresses() is ${proof} where ${why}`, async () => {
    const { deps, close } = world(answered);
    assertEquals((await prove(deps, moves)).proof, proof);
    assertSpyCalls(close, deps.open.calls.length);
  });
}

Deno.test("proveAddresses() asks each peer of the family from both addresses, over their links", async () => {
  const { deps, asked } = world({ "198.51.100.1": 1 });
  await prove(deps, [IPV4]);
  const ways = asked().map(({ source, target, linkName }) =>
    `${formatAddress(source)} ${linkName} ${formatAddress(target)}`
  );
  assertEquals(ways.sort(), [
    "192.0.2.1 eth0 192.0.2.2",
    "192.0.2.1 eth0 192.0.2.3",
    "198.51.100.1 eth1 192.0.2.2",
    "198.51.100.1 eth1 192.0.2.3",
  ]);
});

Deno.test("proveAddresses() asks three of thousands of peers a round, for five rounds, and not this host", async () => {
  const many = Array.from({ length: 5000 }, (_, index) => ({ address: (0xc6336400 + index) as Address }));
  const { deps, asked } = world({}, many);
  // Each round listens for a quarter of a second, and the four between them last one.
  assertEquals(await prove(deps, [IPV4]), { proof: "silent", tookMs: 5 * 250 + 4 * 1000 });
  assertSpyCalls(deps.open, 5 * 3 * 2);
  assertEquals(asked().every(({ target }) => familyOf(target) === 2 && target !== IPV4.to.address), true);
});

Deno.test("proveAddresses() is over at once where there is nobody to ask", async () => {
  const { deps } = world({ "192.0.2.1": 1 }, [{ address: IPV4.from.address }, PEERS[2]!]);
  assertEquals(await prove(deps, [IPV4]), { proof: "silent", tookMs: 0 });
  assertSpyCalls(deps.open, 0);
});

Deno.test("proveAddresses() takes what this host itself refuses for no answer", async () => {
  const { deps } = world({ "192.0.2.1": 1 });
  const refusing = (path: UdpPath): ProbeSocket => {
    if (path.source === IPV4.from.address) return deps.open(path);
    if (path.target === PEERS[0]!.address) throw new NetlinkError("connect UDP socket", ENETUNREACH);
    return { send: () => EPERM, receive: () => ECONNREFUSED, [Symbol.dispose]: () => {} };
  };
  assertEquals((await prove({ ...deps, open: refusing }, [IPV4])).proof, "worse");
});

Deno.test("proveAddresses() ends with the signal", async () => {
  using time = new FakeTime();
  const { deps, close } = world({});
  const controller = new AbortController();
  const proof = proveAddresses(deps, [IPV4], controller);
  await time.tickAsync(1);
  controller.abort(new TypeError("ended"));
  await assertRejects(() => proof, TypeError, "ended");
  assertSpyCalls(close, deps.open.calls.length);
});
