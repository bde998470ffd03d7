import { assertEquals } from "@std/assert";
import type { Lease, Origin } from "../../../src/model/lease.ts";
import { type Ipv4, parseAddress, parsePrefix } from "../../../src/model/address.ts";
import {
  findClaims,
  type LocalClaimant,
  readAll,
  tokenOf,
  writeLease,
} from "../../../src/registry/local/local_acquire.ts";
import { LocalFile } from "../../../src/registry/local/local_file.ts";
import { ownClaims } from "../../../src/registry/own_lease.ts";
import { pick, SEED, seededRandom } from "../../double/random.ts";

const MACHINES = ["1".repeat(32), "2".repeat(32), undefined];
const MACS = ["52:54:00:00:00:01", "52:54:00:00:00:02", undefined];
const NAMES = ["node1", "node2", undefined];
const DATA = [{ VNI: 1 }, { VNI: 1, VtepMAC: "0e:2a:00:00:00:01" }, null];
const HOSTS = ["192.0.2.1", "192.0.2.2", "node1", "fe80::1"];
const ROUNDS = 400;

function someOrigin(random: () => number): Origin {
  const [machine, mac, name] = [pick(random, MACHINES), pick(random, MACS), pick(random, NAMES)];
  return { ...machine && { machine }, ...mac && { mac }, ...name && { name } };
}

function someLease(random: () => number, host: string): Lease {
  const number = Math.floor(random() * 6);
  const part4 = {
    subnet: parsePrefix(`10.5.${number}.0/24`),
    underlayAddress: parseAddress(`192.0.2.${Math.floor(random() * 3)}`),
    backendData: pick(random, DATA),
  };
  const part6 = {
    subnet: parsePrefix(`fd00:5:0:${number}::/64`),
    underlayAddress: parseAddress(`2001:db8::${Math.floor(random() * 3)}`),
    backendData: pick(random, DATA),
  };
  const origin = random() < 0.8 ? someOrigin(random) : undefined;
  return {
    host,
    backendType: "vxlan",
    parts: pick(random, [[part4], [part6], [part4, part6]]),
    ...origin !== undefined && { origin },
    ...random() < 0.8 && { expiresAtMs: 1_000_000 },
    since: Math.floor(random() * 5) + 1,
  };
}

/** What other programs may have done to rows: JSON that says the same in another way, or what is no origin. */
function disturb(file: LocalFile, random: () => number): void {
  const escaped = JSON.stringify({ Machine: MACHINES[0], Card: MACS[0] })
    .replace("1111", "\\u0031\\u0031\\u0031\\u0031").replace("52:", "5\\u0032:");
  const texts = [
    escaped,
    "",
    "{",
    `{"Machine":"${MACHINES[0]}"`,
    "\\",
    `{"Card":"${MACS[0]}","Card":3}`,
    "x".repeat(600),
  ];
  file.rows(
    "disturb",
    "UPDATE lease SET origin = ? WHERE host = ?",
    pick(random, texts),
    pick(random, HOSTS),
  );
}

Deno.test("findClaims() finds in any file what is found when every lease is judged", async () => {
  const random = seededRandom(SEED);
  const folder = await Deno.makeTempDir({ prefix: "loden-claims-" });
  try {
    using file = new LocalFile(`${folder}/registry.db`);
    let found = 0;
    for (let round = 0; round < ROUNDS; round++) {
      file.transaction("IMMEDIATE", "fill", () => {
        file.rows("fill", "DELETE FROM lease");
        for (const host of HOSTS) {
          try {
            if (random() < 0.8) writeLease(file, someLease(random, host), "fill");
          } catch {
            // Another host has that subnet.
            file.rows("fill", "DELETE FROM lease WHERE host = ?", host);
          }
        }
        if (random() < 0.5) disturb(file, random);
      });
      const request = {
        backendType: "vxlan",
        parts: someLease(random, "x").parts,
        origin: someOrigin(random),
      };
      const claimant: LocalClaimant = {
        name: pick(random, HOSTS),
        families: [],
        previousSubnets: random() < 0.5 ? [] : someLease(random, "x").parts.map(({ subnet }) => subnet),
        tokens: new Set(random() < 0.5 ? [] : ["1", "2"]),
        rememberedToken: pick(random, ["3", "x", undefined]),
        nowMs: 1_000_000,
        ttlMs: 1000,
        random: () => 0n,
        log: { write: () => {} },
      };
      const all = readAll(file).map((lease) => {
        const token = tokenOf(lease);
        return { lease, ...token !== undefined && { token } };
      });
      const expected = ownClaims(all, { ...claimant, ...request });
      const claims = findClaims(file, request, claimant);
      found += claims.length;
      assertEquals(
        claims.map(({ candidate, ...claim }) => ({ ...claim, lease: candidate.lease })),
        expected.map(({ candidate, ...claim }) => ({ ...claim, lease: candidate.lease })),
        `LODEN_SEED=${SEED}, round ${round}`,
      );
    }
    if (found < ROUNDS / 4) throw new Error(`Cannot tell from ${found} claims in ${ROUNDS} rounds`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("findClaims() decodes nothing of hosts that are not the claimant's", async () => {
  const folder = await Deno.makeTempDir({ prefix: "loden-claims-" });
  try {
    using file = new LocalFile(`${folder}/registry.db`);
    const parts = [{
      subnet: parsePrefix("10.5.0.0/24"),
      underlayAddress: 0xc0000201 as Ipv4,
      backendData: DATA[0],
    }];
    file.transaction("IMMEDIATE", "fill", () => {
      for (let host = 0; host < 100; host++) {
        const subnet = parsePrefix(`10.6.${host}.0/24`);
        writeLease(
          file,
          { host: `h${host}`, backendType: "vxlan", parts: [{ ...parts[0]!, subnet }] },
          "fill",
        );
      }
    });
    let rows = 0;
    const counted = new Proxy(file, {
      get: (target, name) =>
        name === "rows"
          ? (...values: Parameters<LocalFile["rows"]>) => {
            const found = target.rows(...values);
            rows += found.length;
            return found;
          }
          : Reflect.get(target, name, target),
    });
    const request = { backendType: "vxlan", parts, origin: { machine: MACHINES[0]! } };
    const claimant: LocalClaimant = {
      name: "h7",
      families: [],
      previousSubnets: [parsePrefix("10.6.8.0/24")],
      tokens: new Set(),
      rememberedToken: undefined,
      nowMs: 0,
      ttlMs: 1000,
      random: () => 0n,
      log: { write: () => {} },
    };
    const claims = findClaims(counted, request, claimant);
    assertEquals(claims.map(({ candidate, proof }) => [candidate.lease.host, proof]), [["h8", "links"], [
      "h7",
      "address",
    ]]);
    assertEquals(rows, 2);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
