import { assert, assertEquals } from "@std/assert";
import { AF_INET, AF_INET6, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import type { Table } from "../../src/model/table.ts";
import type { Underlay } from "../../src/model/underlay.ts";
import { withBlackholes } from "../../src/overlay/backend/blackhole.ts";
import type { Backend } from "../../src/overlay/backend/backend.ts";
import { hostGwBackend } from "../../src/overlay/backend/host_gw.ts";
import { vxlanBackend } from "../../src/overlay/backend/vxlan.ts";
import type { GroundFact } from "../../src/registry/ground.ts";
import { LeaseSet } from "../../src/registry/lease_set.ts";
import { type Remote, type Wanted, wantedState } from "../../src/reconcile/wanted.ts";
import { TABLES } from "../../src/reconcile/wanted_rows.ts";
import { pick, SEED, seededRandom } from "../double/random.ts";

const NETWORKS = [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/48")];
const SEGMENTS = [parsePrefix("192.0.2.0/24"), parsePrefix("2001:db8::/64")];
const UNDERLAY: Underlay = {
  linkIndex: 2,
  linkName: "eth0",
  mtuBytes: 1500,
  addresses: [
    ...[["192.0.2.1", AF_INET], ["2001:db8::1", AF_INET6]].map(([text, family], at) => {
      const address = parseAddress(String(text));
      return {
        family: family as typeof AF_INET,
        address,
        advertised: address,
        mtuBytes: 1500,
        segments: [SEGMENTS[at]!],
      };
    }),
  ],
};
const VXLAN = { vni: 1, port: 8472, gbp: false, learning: false, directRouting: false };
const BACKENDS: Readonly<Record<string, Backend>> = {
  vxlan: vxlanBackend(VXLAN, { networks: NETWORKS }),
  "vxlan with routes over the segment": vxlanBackend({ ...VXLAN, directRouting: true }, {
    networks: NETWORKS,
  }),
  "vxlan with blackhole routes": withBlackholes(vxlanBackend(VXLAN, { networks: NETWORKS })),
  "host-gw": hostGwBackend({}, { networks: NETWORKS }),
};
/** What no subnet may cover. */
const GROUND: readonly GroundFact[] = [{ prefix: parsePrefix("10.244.33.7/32"), what: "the gateway" }];

/** A lease of a host: at times with what another one has, or what none may have. */
function someLease(random: () => number, type: string, host: number): Lease {
  const odd = () => random() < 0.04;
  const number = odd() ? 2 + Math.floor(random() * 40) : host;
  const [at, mac] = [
    odd() ? 2 + Math.floor(random() * 40) : host,
    odd() ? 2 + Math.floor(random() * 40) : host,
  ];
  const backendData = odd() ? null : { VNI: odd() ? 2 : 1, VtepMAC: `0e:2a:00:00:00:${hex(mac)}` };
  const parts = [
    {
      subnet: `10.244.${number}.0/24`,
      underlayAddress: odd() ? "10.244.9.9" : `192.0.${odd() ? 3 : 2}.${at}`,
    },
    { subnet: `fd00:10:244:${number}::/64`, underlayAddress: `2001:db8::${at}` },
  ].map(({ subnet, underlayAddress }) => ({
    subnet: parsePrefix(subnet),
    underlayAddress: parseAddress(underlayAddress),
    backendData,
  }));
  return {
    host: `h${host}`,
    backendType: odd() ? "wireguard" : type,
    parts: random() < 0.9 ? parts : [pick(random, parts)],
    since: host,
    dataSince: host,
  };
}

function hex(value: number): string {
  return value.toString(16).padStart(2, "0");
}

for (const [name, backend] of Object.entries(BACKENDS)) {
  Deno.test(`${name}: a wanted state that leases were put into, one by one, is what all of them come to`, () => {
    const random = seededRandom(SEED);
    let grown = 0;
    for (let round = 0; round < 20; round++) {
      const leases = new LeaseSet();
      const own = {
        host: "h1",
        backendType: backend.leaseType,
        parts: someLease(() => 0.5, backend.leaseType, 1).parts,
      };
      leases.apply({ kind: "snapshot", leases: [own] });
      const deps = {
        backend,
        underlay: () => UNDERLAY,
        own: () => own,
        unreadable: () => NOTHING,
        ground: () => GROUND,
        networks: NETWORKS,
      };
      const wanted = wantedState({
        ...deps,
        remote: (own, options) => leases.remote(own, NETWORKS, options),
        changesSince: (remote) => leases.changesSince(remote as Required<Remote>),
      });
      let last = wanted()!;
      for (let step = 0; step < 60; step++) {
        const host = 2 + Math.floor(random() * 30);
        if (random() < 0.3) leases.apply({ kind: "released", host: `h${host}` });
        else leases.apply({ kind: "held", lease: someLease(random, backend.leaseType, host) });
        const now = wanted()!;
        const all = wantedState({ ...deps, remote: (own) => ({ ...leases.remote(own, NETWORKS)! }) })()!;
        assertEquals(told(now), told(all), `seed ${SEED}, round ${round}, step ${step}`);
        if (now !== last && now.rows === last.rows) grown++;
        last = now;
      }
    }
    assert(grown > 200, `${grown} changes were put in`);
  });
}

const NOTHING: readonly never[] = [];

/** What is compared. */
function told({ state, faults, reach, doubts, remoteLeases, otherBackends }: Wanted) {
  return {
    links: state.links,
    rows: TABLES.map((name) => sorted(state[name])),
    faults,
    reach,
    doubts,
    remoteLeases,
    otherBackends,
  };
}

function sorted({ words, count, layout }: Table): string[] {
  return Array.from(
    { length: count },
    (_, row) => words.subarray(row * layout.words, (row + 1) * layout.words).join(),
  ).sort();
}
