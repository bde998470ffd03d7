import { assertEquals } from "@std/assert";
import { makeBackend } from "../../../src/overlay/backend/make_backend.ts";
import { parseNetworkConfig } from "../../../src/config/network.ts";
import { formatMac, parseAddress, parseMac, parsePrefix } from "../../../src/model/address.ts";
import { leaseOf, lines, NETWORKS, underlay, underlayAddress } from "./values.ts";

const HERE = underlay(underlayAddress("192.0.2.1"), underlayAddress("2001:db8::1"));
const data = (mac: string) => ({ VNI: 1, VtepMAC: mac });
const SEED = { existingMac: () => undefined, older: () => [], randomMac: parseMac("0a:00:00:00:00:99") };

function backendOf(Backend: object, hasBlackholeRoute = false) {
  const { config } = parseNetworkConfig(JSON.stringify({ Network: "10.244.0.0/16", Backend }), {
    source: "net-conf.json",
  });
  return makeBackend(config.backend, { networks: NETWORKS, hasBlackholeRoute });
}

const types: [asked: string, leaseType: string, why: string][] = [
  ["vxlan", "vxlan", "it is flannel's word"],
  ["auto", "vxlan", "flannel's vxlan is to understand it"],
  ["host-gw", "host-gw", "it is flannel's word"],
  ["alloc", "", "flannel's alloc writes none"],
];

for (const [asked, leaseType, why] of types) {
  Deno.test(`makeBackend() makes ${asked}, whose leases say "${leaseType}": ${why}`, () => {
    const backend = backendOf({ Type: asked });
    assertEquals([backend.type, backend.leaseType], [asked, leaseType]);
  });
}

Deno.test("auto routes directly on the segment, encapsulates elsewhere, and ignores host-gw as flannel does", () => {
  const auto = backendOf({ Type: "auto" });
  const [part] = auto.advertise(HERE, undefined, SEED);
  assertEquals(part?.backendData, data(formatMac(SEED.randomMac)));
  const own = leaseOf("vxlan", "a", ["10.244.1.0/24", "192.0.2.1", data("0e:2a:00:00:00:01")]);
  const { state, faults } = auto.desire(HERE, own, [
    leaseOf("vxlan", "b", ["10.244.2.0/24", "192.0.2.2", data("0e:2a:00:00:00:02")]),
    leaseOf("vxlan", "c", ["10.244.3.0/24", "198.51.100.3", data("0e:2a:00:00:00:03")]),
    leaseOf("host-gw", "d", ["10.244.4.0/24", "192.0.2.4"]),
  ]);
  assertEquals(lines(state).filter((line) => line.startsWith("route")), [
    "route 10.244.2.0/24 dev eth0",
    "route 10.244.3.0/24 dev flannel.1",
  ]);
  assertEquals(faults, []);
});

Deno.test("alloc publishes addresses, takes the underlay's MTU, and makes nothing; what is left in its networks goes", () => {
  const alloc = backendOf({ Type: "alloc" });
  assertEquals(alloc.overlayMtuBytes(HERE), 1500);
  assertEquals(backendOf({ Type: "alloc", MTU: 1400 }).overlayMtuBytes(HERE), 1400);
  assertEquals(alloc.advertise(HERE, undefined, SEED), [
    { underlayAddress: parseAddress("192.0.2.1"), backendData: null },
    { underlayAddress: parseAddress("2001:db8::1"), backendData: null },
  ]);
  const peer = leaseOf("", "b", ["10.244.2.0/24", "192.0.2.2"]);
  const { state, faults } = alloc.desire(HERE, leaseOf("", "a", ["10.244.1.0/24", "192.0.2.1"]), [peer]);
  assertEquals([state.links, state.addresses, lines(state), faults], [[], [], [], []]);
  assertEquals(state.networks, [parsePrefix("10.244.0.0/16")]);
});

for (const Type of ["vxlan", "auto", "host-gw", "alloc"]) {
  Deno.test(`a blackhole route for each own subnet is there with ${Type} when it is asked for, and only then`, () => {
    const own = leaseOf(
      Type,
      "a",
      ["10.244.1.0/24", "192.0.2.1", data("0e:2a:00:00:00:01")],
      ["fd00:10:244:1::/64", "2001:db8::1", data("0e:2a:00:00:06:01")],
    );
    const routes = (hasBlackholeRoute: boolean) =>
      lines(backendOf({ Type }, hasBlackholeRoute).desire(HERE, own, []).state);
    assertEquals(routes(true), ["route blackhole 10.244.1.0/24", "route blackhole fd00:10:244:1::/64"]);
    assertEquals(routes(false), []);
  });
}
