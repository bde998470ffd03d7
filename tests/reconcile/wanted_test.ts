import { assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { AF_INET, AF_INET6, parseAddress, parsePrefix } from "../../src/model/address.ts";
import { sizeKey } from "../../src/model/peer_path.ts";
import type { Backend } from "../../src/overlay/backend/backend.ts";
import { hostGwBackend } from "../../src/overlay/backend/host_gw.ts";
import type { Lease } from "../../src/model/lease.ts";
import { FDB, NEIGHBOUR, ROUTE } from "../../src/model/rows.ts";
import { Table } from "../../src/model/table.ts";
import type { Underlay } from "../../src/model/underlay.ts";
import { type Remote, wantedState } from "../../src/reconcile/wanted.ts";
import { leaseOf } from "../double/test_host.ts";

const NOTHING: readonly never[] = [];
const OWN = leaseOf("own", "10.244.1.0/24", "192.0.2.1", "0e:2a:00:00:00:01");
const PEER = leaseOf("peer", "10.244.2.0/24", "192.0.2.2", "0e:2a:00:00:00:02");

/** What wantedState() depends on, to be changed under it, and a backend that counts how often it is asked. */
function world() {
  const backend = {
    asked: 0,
    leaseType: "vxlan",
    desire() {
      this.asked++;
      const tables = {
        neighbours: new Table(NEIGHBOUR),
        fdb: new Table(FDB),
        routes: new Table(ROUTE),
      };
      return {
        state: { links: [], addresses: [], networks: [], ...tables },
        faults: [{ host: "c", reason: "by the backend" }],
        reached: new Map([[2 as const, 1]]),
      };
    },
  };
  const state = {
    underlay: { addresses: [] } as unknown as Underlay,
    own: OWN as Lease | undefined,
    remote: {
      leases: [PEER],
      faults: [{ host: "b", reason: "by the set" }],
      doubts: [],
      isRemembered: false,
    } as
      | Remote
      | undefined,
    unreadable: [{ host: "a", reason: "by the registry" }],
  };
  const wanted = wantedState({
    backend: backend as unknown as Backend,
    underlay: () => state.underlay,
    own: () => state.own,
    remote: () => state.remote,
    unreadable: () => state.unreadable,
  });
  return { backend, state, wanted };
}

Deno.test("wantedState() is unknown without an own lease, and before the first snapshot", () => {
  const { backend, state, wanted } = world();
  state.own = undefined;
  assertEquals(wanted(), undefined);
  Object.assign(state, { own: OWN, remote: undefined });
  assertEquals(wanted(), undefined);
  assertEquals(backend.asked, 0);
});

Deno.test("wantedState() asks the backend once while nothing changes", () => {
  const { backend, wanted } = world();
  assertStrictEquals(wanted(), wanted());
  assertEquals(backend.asked, 1);
});

const changes: [
  what: string,
  change: ReturnType<typeof world>["state"] extends infer S ? Partial<S> : never,
][] = [
  ["the underlay", { underlay: { addresses: [] } as unknown as Underlay }],
  ["the own lease", { own: { ...OWN } }],
  ["another host's lease", { remote: { leases: [], faults: [], doubts: [], isRemembered: false } }],
  ["what can't be read", { unreadable: [] }],
];

for (const [what, change] of changes) {
  Deno.test(`wantedState() asks the backend again when ${what} has changed`, () => {
    const { state, wanted } = world();
    const before = wanted();
    Object.assign(state, change);
    assertNotStrictEquals(wanted(), before);
  });
}

Deno.test("wantedState() names every peer that was left out, for any reason", () => {
  const { wanted } = world();
  assertEquals(wanted()?.faults.map(({ host }) => host), ["a", "b", "c"]);
  assertEquals(wanted()?.remoteLeases, 1);
});

Deno.test("wantedState() counts the hosts that its backend does not reach, by backend", () => {
  const { backend, state, wanted } = world();
  const others = [["b", "host-gw"], ["c", "host-gw"], ["d", "wireguard"], ["e", "vxlan"]].map(
    ([host, backendType]) => ({ ...PEER, host: host!, backendType: backendType! }),
  );
  state.remote = { leases: others, faults: [], doubts: [], isRemembered: false };
  assertEquals(wanted()?.otherBackends, ["2 hosts of backend host-gw", "1 host of backend wireguard"]);
  backend.leaseType = "";
  state.remote = { ...state.remote };
  assertEquals(wanted()?.otherBackends, [], "alloc reaches nobody");
});

Deno.test("wantedState() lowers the MTU of the routes to a host behind a narrow path alone", () => {
  const own = leaseOf("own", "10.244.1.0/24", "192.0.2.1", "0e:2a:00:00:00:01");
  const others = [2, 3].map((n) =>
    leaseOf(`h${n}`, `10.244.${n}.0/24`, `192.0.2.${n}`, `0e:2a:00:00:00:0${n}`)
  );
  let sizes: ReadonlyMap<string, number> = new Map();
  const backend = hostGwBackend({}, { networks: [parsePrefix("10.244.0.0/16")] });
  const underlay: Underlay = {
    linkIndex: 2,
    linkName: "eth0",
    mtuBytes: 1500,
    addresses: [{
      family: AF_INET,
      address: parseAddress("192.0.2.1"),
      advertised: parseAddress("192.0.2.1"),
      mtuBytes: 1500,
      segments: [parsePrefix("192.0.2.0/24")],
    }],
  };
  const remote = {
    leases: others.map((lease) => ({ ...lease, backendType: "host-gw" })),
    faults: [],
    doubts: [],
    isRemembered: false,
  };
  const wanted = wantedState({
    backend,
    underlay: () => underlay,
    own: () => own,
    remote: () => remote,
    unreadable: () => NOTHING,
    sizes: () => sizes,
  });
  const mtus = () => {
    const { words, count } = wanted()!.state.routes;
    return Array.from({ length: count }, (_, row) => words[row * ROUTE.words + ROUTE.mtuBytes]);
  };
  assertEquals(mtus(), [0, 0]);
  sizes = new Map([[sizeKey("h3", AF_INET), 1380], [sizeKey("h2", AF_INET6), 1300]]);
  assertEquals(mtus(), [0, 1380]);
  sizes = new Map();
  assertEquals(mtus(), [0, 0]);
});
