import { assertEquals } from "@std/assert";
import { parseNetworkConfig } from "../../../src/config/network.ts";
import { AF_INET, AF_INET6, formatPrefix, parseAddress } from "../../../src/model/address.ts";
import type { DesiredCloud } from "../../../src/model/state.ts";
import { makeBackend } from "../../../src/overlay/backend/make_backend.ts";
import { leaseOf, lines, NETWORKS, underlay, underlayAddress } from "./values.ts";

const HERE = underlay(underlayAddress("10.0.1.4"), underlayAddress("2001:db8::4"));
const OWN = leaseOf("", "a", ["10.244.1.0/24", "10.0.1.4"], ["fd00:10:244:1::/64", "2001:db8::4"]);
const SEED = { existingMac: () => undefined, older: () => [], randomMac: 1 as never };

function backendOf(keys: object = {}) {
  const text = JSON.stringify({ Network: "10.244.0.0/16", Backend: { Type: "aws-vpc", ...keys } });
  const { config } = parseNetworkConfig(text, { source: "net-conf.json" });
  return makeBackend(config.backend, { networks: NETWORKS, hasBlackholeRoute: false });
}

function show(cloud: DesiredCloud | undefined): unknown {
  return cloud && {
    own: cloud.own.map(formatPrefix),
    peers: cloud.peers.map(formatPrefix),
    networks: cloud.networks.map(({ network, subnetLength }) => `${formatPrefix(network)} ${subnetLength}`),
  };
}

Deno.test("aws-vpc publishes addresses alone, as flannel's did, and has the underlay's MTU", () => {
  const backend = backendOf();
  assertEquals([backend.type, backend.leaseType, backend.overlayMtuBytes(HERE)], ["aws-vpc", "", 1500]);
  assertEquals(backendOf({ MTU: 1400 }).overlayMtuBytes(HERE), 1400);
  assertEquals(backend.advertise(HERE, undefined, SEED), [
    { underlayAddress: parseAddress("10.0.1.4"), backendData: null },
    { underlayAddress: parseAddress("2001:db8::4"), backendData: null },
  ]);
});

Deno.test("aws-vpc wants nothing of the kernel, and of the cloud the routes of this host", () => {
  const peers = [
    leaseOf("", "b", ["10.244.2.0/24", "10.0.1.5"], ["fd00:10:244:2::/64", "2001:db8::5"]),
    leaseOf("", "c", ["10.244.3.0/24", "10.0.2.6"]),
    leaseOf("vxlan", "d", ["10.244.4.0/24", "10.0.2.7", { VtepMAC: "0e:2a:00:00:00:04" }]),
  ];
  const { state, faults, reached } = backendOf().desire(HERE, OWN, peers);
  assertEquals([state.links, state.addresses, lines(state), faults], [[], [], [], []]);
  assertEquals(show(state.cloud), {
    own: ["10.244.1.0/24", "fd00:10:244:1::/64"],
    peers: ["10.244.2.0/24", "fd00:10:244:2::/64", "10.244.3.0/24"],
    networks: ["10.244.0.0/16 24", "fd00:10:244::/56 64"],
  });
  assertEquals(new Map(reached), new Map([[AF_INET, 2], [AF_INET6, 1]]));
});

Deno.test("aws-vpc leaves a family alone that the underlay has not: its routes stay as they are", () => {
  const { state } = backendOf().desire(underlay(underlayAddress("10.0.1.4")), OWN, []);
  assertEquals(show(state.cloud), {
    own: ["10.244.1.0/24"],
    peers: [],
    networks: ["10.244.0.0/16 24"],
  });
});

Deno.test("aws-vpc is pure: the same values make the same state", () => {
  const peers = [leaseOf("", "b", ["10.244.2.0/24", "10.0.1.5"])];
  const backend = backendOf();
  assertEquals(backend.desire(HERE, OWN, peers).state.cloud, backend.desire(HERE, OWN, peers).state.cloud);
});
