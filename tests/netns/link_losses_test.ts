import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { LinkKeeper, type WatchedLink } from "../../src/agent/link_keeper.ts";
import { Libc } from "../../src/linux/libc.ts";
import { AF_INET, parseAddress } from "../../src/model/address.ts";
import { EPERM, NetlinkError } from "../../src/linux/errno.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { readCounters } from "../../src/rtnetlink/link_counters.ts";
import { TestNetns } from "../double/netns.ts";
import { NetnsSocket } from "../double/overlay_sockets.ts";
import { RecordedLog } from "../double/recorded_log.ts";

// Each line about lost packets, with the counter raised on the kernel itself.

const VNI = 1;
const PORT = 8472;
const MAC = "0e:2a:00:00:00:02";
const PACKETS = 50;

/** Two hosts, joined by a veth, of which the first has a VTEP, a bridge and a keeper. */
class Rig implements AsyncDisposable {
  readonly log = new RecordedLog();
  readonly keeper: LinkKeeper;
  nowMs = 0;
  readonly #stack = new AsyncDisposableStack();

  private constructor(
    readonly libc: Libc,
    readonly here: TestNetns,
    readonly there: TestNetns,
    readonly client: NetlinkClient,
  ) {
    const links: readonly WatchedLink[] = [
      { link: "v1", role: "vtep" },
      { link: "eth0", role: "underlay" },
      { link: "none", role: "bridge" },
      { link: 0, role: "bridge" },
    ];
    this.keeper = new LinkKeeper({
      client,
      links: () => links,
      elapsedMs: () => this.nowMs,
      log: this.log,
    });
  }

  static async open(): Promise<Rig> {
    const stack = new AsyncDisposableStack();
    const libc = stack.use(new Libc());
    const [here, there] = [stack.use(await TestNetns.create()), stack.use(await TestNetns.create())];
    await here.ip(...`link add eth0 type veth peer name eth0 netns ${there.name}`.split(" "));
    for (const [netns, address] of [[here, "192.0.2.1/24"], [there, "192.0.2.2/24"]] as const) {
      await netns.ip("address", "add", address, "dev", "eth0");
      await netns.ip("link", "set", "eth0", "addrgenmode", "none", "up");
    }
    await here.ip(
      ...`link add v1 type vxlan id ${VNI} dstport ${PORT} local 192.0.2.1 nolearning`.split(" "),
    );
    await here.ip("link", "set", "v1", "addrgenmode", "none", "up");
    await here.ip("address", "add", "10.244.1.0/32", "dev", "v1");
    await here.ip("route", "add", "10.244.2.0/24", "via", "10.244.2.0", "dev", "v1", "onlink");
    await here.ip("neigh", "add", "10.244.2.0", "lladdr", MAC, "dev", "v1");
    const rig = new Rig(libc, here, there, new NetlinkClient(stack.use(here.openTransport(libc))));
    rig.#stack.use(stack);
    rig.keeper.look();
    return rig;
  }

  /** Has the first host send packets, of so many bytes, to an address. */
  async send(to: string, packets = PACKETS, bytes = 56): Promise<void> {
    // Nobody answers.
    await this.here.run(
      "ping",
      "-q",
      "-c",
      String(packets),
      "-i",
      "0.002",
      "-W",
      "0.1",
      ..."-w 3 -s".split(" "),
      String(bytes),
      to,
    );
  }

  /** What is said ten seconds later. */
  look(): readonly string[] {
    const before = this.log.lines.length;
    this.nowMs += 10_000;
    this.keeper.look();
    return this.log.lines.slice(before);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

interface Case {
  readonly name: string;
  readonly link: string;
  readonly counter: string;
  readonly reason: string;
  readonly provoke: (rig: Rig) => Promise<void>;
}

const cases: readonly Case[] = [
  {
    name: "packets that can't be encapsulated, as the underlay has no route",
    link: "v1",
    counter: "tx_carrier_errors",
    reason: "no route",
    provoke: async (rig) => {
      await rig.here.bridge("fdb", "add", MAC, "dev", "v1", "dst", "203.0.113.9");
      await rig.send("10.244.2.5");
    },
  },
  {
    name: "packets whose way to the other host leads into the overlay",
    link: "v1",
    counter: "collisions",
    reason: "overlay itself",
    provoke: async (rig) => {
      await rig.here.bridge("fdb", "add", MAC, "dev", "v1", "dst", "10.244.2.9");
      await rig.send("10.244.2.5");
    },
  },
  {
    name: "packets for whose MAC there is no FDB entry",
    link: "v1",
    counter: "tx_dropped",
    reason: "FDB",
    provoke: (rig) => rig.send("10.244.2.5"),
  },
  {
    name: "encapsulated packets that are too short inside",
    link: "v1",
    counter: "rx_errors",
    reason: "no good inside",
    provoke: (rig) => {
      using socket = NetnsSocket.udp(rig.libc, rig.there, AF_INET);
      socket.connect(parseAddress("192.0.2.1"), PORT);
      // RFC 7348: flags with a VNI; then an Ethernet header that says IPv4, and nothing behind it.
      const ethernet = [0x0e, 0x2a, 0, 0, 0, 1, 0x0e, 0x2a, 0, 0, 0, 2, 0x08, 0x00];
      const packet = Uint8Array.from([0x08, 0, 0, 0, 0, 0, VNI, 0, ...ethernet]);
      for (let at = 0; at < PACKETS; at++) socket.send(packet);
      return Promise.resolve();
    },
  },
  {
    name: "packets that are larger than the other end of the underlay takes",
    link: "eth0",
    counter: "tx_dropped",
    reason: "as they were sent",
    provoke: async (rig) => {
      await rig.there.ip("link", "set", "eth0", "mtu", "1000");
      await rig.send("192.0.2.2", PACKETS, 1400);
    },
  },
  {
    name: "an underlay that has lost its carrier",
    link: "eth0",
    counter: "carrier_down_count",
    reason: "lost its carrier",
    provoke: async (rig) => {
      await rig.there.ip("link", "set", "eth0", "down");
      const endMs = performance.now() + 5000;
      while (readCounters(rig.client, "eth0")!.carrierLosses === 0) {
        assert(performance.now() < endMs, "the kernel has not told of it");
        await rig.here.ip("link", "show");
      }
    },
  },
];

for (const { name, link, counter, reason, provoke } of cases) {
  Deno.test(`a keeper of links names ${counter} of ${link}: ${name}`, async () => {
    await using rig = await Rig.open();
    await provoke(rig);
    const lines = rig.look();
    const line = lines.find((one) => one.includes(`"link":"${link}"`));
    assert(line !== undefined, `${lines}`);
    assert(line.startsWith("warn packets lost "), line);
    assert(line.includes(`"${counter}":`), line);
    assert(line.includes(reason), line);
    assertEquals(rig.look(), []);
  });
}

Deno.test("a keeper of links says at most one line of a flood of drops, however often it looks", async () => {
  await using rig = await Rig.open();
  let done = false;
  const flood = rig.here.run("ping", "-q", "-f", "-c", "3000", "-w", "4", "10.244.2.5").then(() =>
    done = true
  );
  let looks = 0;
  while (!done) {
    rig.nowMs += 10;
    rig.keeper.look();
    looks++;
    await rig.here.ip("link", "show", "dev", "v1");
  }
  await flood;
  const dropped = readCounters(rig.client, "v1")!.txDropped;
  assert(dropped > 100, `${dropped} packets were dropped`);
  assert(looks > 10, `${looks} looks`);
  assertEquals(rig.log.lines.length, 1, `${rig.log.lines}`);
});

Deno.test("readCounters() agrees with ip(8) on what was sent, by name and by index", async () => {
  await using rig = await Rig.open();
  await rig.send("192.0.2.2", 5);
  const [shown] = await rig.here.ipJson("-s", "-s", "link", "show", "dev", "eth0");
  const stats = shown!["stats64"] as Record<"rx" | "tx", Record<string, number>>;
  const counters = readCounters(rig.client, shown!["ifindex"] as number)!;
  assertEquals(counters.name, "eth0");
  assertLessOrEqual(stats.tx["packets"]!, counters.txPackets);
  assertLessOrEqual(stats.rx["bytes"]!, counters.rxBytes);
  assertEquals(
    [counters.txErrors, counters.txDropped, counters.rxErrors, counters.txCarrierErrors],
    [stats.tx["errors"], stats.tx["dropped"], stats.rx["errors"], stats.tx["carrier_errors"]],
  );
  assertEquals(readCounters(rig.client, "none"), undefined);
});

Deno.test("a keeper of links tells nothing, and says so to who wants every pass, while the kernel refuses", async () => {
  await using rig = await Rig.open();
  const client = {
    request: () => {
      throw new NetlinkError("read the counters of link v1", EPERM);
    },
  } as unknown as NetlinkClient;
  const log = new RecordedLog();
  const links = () => [{ link: "v1", role: "vtep" as const }];
  const keeper = new LinkKeeper({ client, links, elapsedMs: () => rig.nowMs, log });
  keeper.look();
  assertEquals(keeper.read(), []);
  assertEquals(
    log.lines.every((line) => line.startsWith("debug counters of links not read")),
    true,
    `${log.lines}`,
  );
});
