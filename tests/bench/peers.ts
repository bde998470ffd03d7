import { NetlinkClient } from "../../src/netlink/client.ts";
import { Libc } from "../../src/linux/libc.ts";
import { pause } from "../../src/loop/pause.ts";
import { EtcdServer } from "../double/etcd.ts";
import { type TestNetns } from "../double/netns.ts";
import { openHost } from "./host.ts";
import { Relay } from "../double/relay.ts";
import { flannelValue } from "../registry/etcd/etcd_world.ts";
import { endProgram, isOverVtep } from "./agent.ts";
import { cpuMs, median, percentile, processCost } from "./machine.ts";
import { addressIn, macOf, subnetOf, underlayOf } from "./registries.ts";

const PREFIX = "/coreos.com/network";
/** How long nothing happens before memory is read, and while idle CPU is counted. */
const REST_MS = 10_000;
const JOINS = 150;
/** From one join to the next: 150 take ten seconds. */
const JOIN_EVERY_MS = 66;
/** A route that is not back after this is not put back. */
const REPAIR_MS = 3000;
const REPAIRS = 5;
const DEADLINE_MS = 60_000;

/** A program with flannel's flags. */
export interface Peer {
  readonly name: string;
  /** The program, and what it is always given. */
  readonly command: readonly string[];
}

/** What a program costs with so many leases in etcd. */
export interface PeerFigures extends Record<string, string | number> {
  readonly program: string;
  readonly leases: string;
  /** From the start of the process to the last route. */
  readonly "last route ms": number;
  readonly "RSS MiB": number;
  readonly "RssAnon MiB": number;
  readonly "idle CPU %": number;
  /** From the request that writes a lease to the route in the kernel. */
  readonly "join ms": number;
  readonly "join p99 ms": number;
  readonly "CPU ms a join": number;
  /** After 150 joins in ten seconds. */
  readonly "RSS then MiB": number;
  /** From the deletion of a route until it is back; `never` if it is not after 3 s. */
  readonly "repair ms": number | string;
}

/**
 * The programs that `text` names, `NAME=/path/to/program` each, with the flags that follow.
 *
 * @throws {SyntaxError} If it begins with a flag, or names no program.
 */
export function parsePeers(text: string): readonly Peer[] {
  const peers: { name: string; command: string[] }[] = [];
  for (const word of text.split(/\s+/).filter((word) => word !== "")) {
    const named = /^([\w.-]+)=(\/.*)$/.exec(word);
    if (named !== null && !word.startsWith("-")) peers.push({ name: named[1]!, command: [named[2]!] });
    else if (peers.length > 0) peers.at(-1)!.command.push(word);
    else throw new SyntaxError(`Cannot read LODEN_PEERS: "${word}" is no NAME=/path/to/program`);
  }
  return peers;
}

/** Measures each program alone, one after the other, with `leases` others in an etcd of its own. */
export async function measurePeers(peers: readonly Peer[], leases: number): Promise<PeerFigures[]> {
  const figures: PeerFigures[] = [];
  for (const peer of peers) figures.push(await measurePeer(peer, leases));
  return figures;
}

async function measurePeer({ name, command }: Peer, leases: number): Promise<PeerFigures> {
  await using server = await EtcdServer.open();
  const network = {
    Network: "10.0.0.0/8",
    SubnetLen: 24,
    SubnetMin: "10.200.0.0",
    Backend: { Type: "vxlan" },
  };
  await server.put(`${PREFIX}/config`, JSON.stringify(network));
  const join = (number: number) =>
    server.put(
      `${PREFIX}/subnets/${subnetOf(number)}-24`,
      flannelValue(underlayOf(number), macOf(number)),
    );
  for (let number = 0; number < leases; number++) await join(number);
  using libc = new Libc();
  await using stack = new AsyncDisposableStack();
  const { netns, folder } = await openHost(stack);
  const client = new NetlinkClient(stack.use(netns.openTransport(libc)));
  const relay = { netns: netns.name, hostname: "127.0.0.1", port: 8080, targetPort: server.port };
  stack.use(await Relay.open(relay));
  const startedMs = performance.now();
  const child = new Deno.Command("ip", {
    args: [
      ...["netns", "exec", netns.name, ...command],
      "-etcd-endpoints=http://127.0.0.1:8080",
      "-iface=eth0",
      `-subnet-file=${folder}/subnet.env`,
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const { pid } = child;
  stack.defer(() => endProgram(child));
  const isOver = (number: number) => isOverVtep(client, addressIn(number));
  await until(`${name} leads packets to the last lease`, () => isOver(leases - 1));
  const lastRouteMs = performance.now() - startedMs;
  await pause(REST_MS);
  const idle = await idleShare(pid);
  const atRest = await processCost(pid);
  const times: number[] = [];
  const [cpuBefore, joinsStartedMs] = [await cpuMs(pid), performance.now()];
  for (let number = leases; number < leases + JOINS; number++) {
    const writtenMs = performance.now();
    const written = join(number);
    await until(`${name} leads packets to a lease that came`, () => isOver(number));
    times.push(performance.now() - writtenMs);
    await written;
    await pause(JOIN_EVERY_MS - (performance.now() - writtenMs));
  }
  const cpu = await cpuMs(pid) - cpuBefore - idle * (performance.now() - joinsStartedMs);
  const { rssMiB } = await processCost(pid);
  return {
    program: name,
    leases: String(leases),
    "last route ms": lastRouteMs,
    "RSS MiB": atRest.rssMiB,
    "RssAnon MiB": atRest.rssAnonMiB,
    "idle CPU %": idle * 100,
    "join ms": median(times),
    "join p99 ms": percentile(times, 0.99),
    "CPU ms a join": cpu / JOINS,
    "RSS then MiB": rssMiB,
    "repair ms": await repairMs(netns, isOver),
  };
}

/** How much of a core a process takes while nothing happens. */
async function idleShare(pid: number): Promise<number> {
  const [before, startedMs] = [await cpuMs(pid), performance.now()];
  await pause(REST_MS);
  return (await cpuMs(pid) - before) / (performance.now() - startedMs);
}

async function repairMs(netns: TestNetns, isOver: (number: number) => boolean): Promise<number | string> {
  const times: number[] = [];
  for (let number = 0; number < REPAIRS; number++) {
    const { code, stderr } = await netns.run("ip", "route", "del", `${subnetOf(number)}/24`);
    if (code !== 0) throw new Error(`Cannot delete a route: ${stderr}`);
    const deletedMs = performance.now();
    while (!isOver(number)) {
      if (performance.now() - deletedMs > REPAIR_MS) return "never";
      await pause(1);
    }
    times.push(performance.now() - deletedMs);
  }
  return median(times);
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const startedMs = performance.now();
  while (!condition()) {
    if (performance.now() - startedMs > DEADLINE_MS) {
      throw new Error(`Cannot measure: it is not so within ${DEADLINE_MS} ms that ${what}`);
    }
    await pause(0);
  }
}
