import { assert, assertEquals } from "@std/assert";
import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { addAddress, changeLink, linkIndexOf } from "../../src/lab/wiring.ts";
import { AF_INET, AF_INET6, type Family, type Ipv6, parseAddress } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { DumpInterruptedError } from "../../src/netlink/client.ts";
import type { TableName } from "../../src/reconcile/plan.ts";
import { member } from "../bench/members.ts";
import { seedLeases } from "../double/overlay_registry.ts";
import { hostsOf, until, untilReady, withOverlay } from "../double/overlay_rig.ts";
import { vtepOf } from "../double/overlay_state.ts";
import { formatScale, type ScaleOutcome, writeSection } from "./document.ts";
import { HostState } from "./host_state.ts";
import { configureUplink, deleteLink, deleteRow } from "./objects.ts";
import { untilQuiet } from "./run_fault.ts";

const PEERS = 1000;
const ROUNDS = 5;
/** What no repair may take, on the slowest machine. */
const DEADLINE_MS = 5000;
/** Tries to end an agent in the middle of its work, each this much later than the one before. */
const KILLS = 60;
const KILL_STEP_MS = 0.5;
/** Where the seeded peers of host-gw are, and this host among them. */
const SEGMENT = { address: parseAddress("100.64.200.1"), length: 16 };
const NETWORKS = {
  [AF_INET]: { Network: "10.0.0.0/8" },
  [AF_INET6]: { EnableIPv4: false, EnableIPv6: true, IPv6Network: "fd00:10:244::/48" },
} as const;
const TABLES = {
  "vxlan": {
    [AF_INET]: ["routes", "neighbours", "fdb"],
    [AF_INET6]: ["routes", "neighbours", "fdb"],
  },
  "host-gw": { [AF_INET]: ["routes"], [AF_INET6]: ["routes"] },
} as const satisfies Record<string, Record<Family, readonly TableName[]>>;
const OBJECTS: Readonly<Record<TableName, string>> = {
  routes: "a route is deleted",
  neighbours: "a neighbour is deleted",
  fdb: "an FDB entry is deleted",
};

const outcomes: ScaleOutcome[] = [];

/** A host with many peers, settled. */
interface Crowd {
  readonly libc: Libc;
  readonly host: LabHost;
  readonly state: HostState;
}

for (const type of ["vxlan", "host-gw"] as const) {
  for (const family of [AF_INET, AF_INET6] as const) {
    const where = `${type}, ${family === AF_INET ? "IPv4" : "IPv6"}`;
    Deno.test(`${where}: a host with ${PEERS} peers is whole again soon`, async (t) => {
      const networkConfig = { ...NETWORKS[family], Backend: { Type: type } };
      await withOverlay(
        { hosts: 1, families: [family], networkConfig, withAgents: false },
        async (lab, libc) => {
          const crowd = await startCrowd(lab, libc, type, family);
          const { host, state } = crowd;
          const time = async (name: string, make: () => void, restore?: () => void) => {
            await t.step(name, async () => {
              outcomes.push({ name, where, timesMs: await timeRepairs(crowd, make, restore) });
            });
          };
          for (const table of TABLES[type][family]) {
            await time(OBJECTS[table], () => {
              const look = state.tables();
              const { count, layout } = look.tables[table];
              deleteRow(host, look, table, (count >> 1) * layout.words);
            });
          }
          const setUp = (name: string, isUp: boolean) =>
            changeLink(host.client, linkIndexOf(host.client, name), { isUp });
          await time("the underlay link is set down and up", () => setUp(UPLINK, false), () => {
            setUp(UPLINK, true);
            configureUplink(host);
            if (type === "host-gw" && family === AF_INET) {
              addAddress(host.client, linkIndexOf(host.client, UPLINK), SEGMENT);
            }
          });
          if (type === "vxlan") {
            const { name } = vtepOf(host.client, family).link;
            await time(
              "the overlay link is set down and up",
              () => setUp(name, false),
              () => setUp(name, true),
            );
            await time("the overlay link is deleted", () => deleteLink({ host }, name));
            await t.step(
              "an agent that is killed while it works leaves nothing that the next does not mend",
              async () => {
                await killAtWork(crowd, () => {
                  setUp(name, false);
                  setUp(name, true);
                });
              },
            );
          }
        },
      );
    });
  }
}

Deno.test("the figures with many peers can be written", async () => {
  const lines = await formatScale(outcomes);
  // deno-lint-ignore no-console
  console.log(lines.join("\n"));
  const tables = Object.values(TABLES).flatMap((each) => Object.values(each)).flat().length;
  assertEquals(outcomes.length, tables + 4 + 4);
  if (Deno.env.get("LODEN_WRITE") === "1") await writeSection("scale", lines);
});

/** Starts the agent of a host that many others are known to. */
async function startCrowd(lab: Lab, libc: Libc, type: keyof typeof TABLES, family: Family): Promise<Crowd> {
  const [host] = hostsOf(lab);
  if (family === AF_INET) addAddress(host.client, linkIndexOf(host.client, UPLINK), SEGMENT);
  await seedLeases(lab, Array.from({ length: PEERS }, (_, index) => memberOf(type, family, index + 1)));
  host.startAgent();
  await host.waitForSubnets();
  await untilReady(libc, host);
  const state = new HostState(host);
  const { tables } = state.tables();
  for (const table of TABLES[type][family]) assertEquals(tables[table].count, PEERS, table);
  return { libc, host, state };
}

/** The lease of a peer, from 1: both its subnet and its underlay address end in its number. */
function memberOf(type: keyof typeof TABLES, family: Family, number: number): Lease {
  const { parts: [part], ...lease } = member(number);
  const subnet = {
    address: parseAddress("fd00:10:244::") as bigint + (BigInt(number) << 64n) as Ipv6,
    length: 64,
  };
  const underlayAddress = parseAddress("2001:db8::1:0") as bigint + BigInt(number) as Ipv6;
  const place = family === AF_INET ? {} : { subnet, underlayAddress };
  const backendData = type === "vxlan" ? part!.backendData : null;
  return { ...lease, backendType: type, parts: [{ ...part!, ...place, backendData }] };
}

/** Makes a fault several times; returns what each repair took, from `restore` if there is one. */
async function timeRepairs(crowd: Crowd, make: () => void, restore?: () => void): Promise<number[]> {
  const { state } = crowd;
  const times: number[] = [];
  const lines = state.lines();
  for (let round = 0; round < ROUNDS; round++) {
    await untilQuiet(crowd);
    const before = state.fingerprint();
    let startMs = performance.now();
    make();
    if (restore !== undefined) {
      startMs = performance.now();
      restore();
    }
    while (fingerprintOf(state) !== before) {
      assert(performance.now() - startMs < DEADLINE_MS, `not repaired in ${DEADLINE_MS} ms`);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    times.push(performance.now() - startMs);
  }
  // A dump of IPv6 routes shows one too few or twice, and does not say so, while another route changes.
  await untilQuiet(crowd);
  assertEquals(state.lines(), lines);
  return times;
}

/** What a host holds; `undefined` while it changes so fast that it can't be read in one piece. */
function fingerprintOf(state: HostState): string | undefined {
  try {
    return state.fingerprint();
  } catch (error) {
    if (error instanceof DumpInterruptedError) return undefined;
    throw error;
  }
}

/** Has the agent program all peers again, kills it with some done and others not, and starts another. */
async function killAtWork({ libc, host, state }: Crowd, breakAll: () => void): Promise<void> {
  const lines = state.lines();
  let isHalf = false;
  for (let kill = 0; kill < KILLS && !isHalf; kill++) {
    breakAll();
    const startMs = performance.now();
    while (performance.now() - startMs < kill * KILL_STEP_MS);
    await host.stopAgent("SIGKILL");
    const { neighbours, routes } = state.tables().tables;
    isHalf = neighbours.count > 0 && routes.count < PEERS;
    host.startAgent();
    await untilReady(libc, host);
    await until("see all as before", () => state.lines().join() === lines.join() ? true : undefined);
  }
  assertEquals(isHalf, true, `an agent was killed in the middle of its work, in one of ${KILLS} times`);
}
