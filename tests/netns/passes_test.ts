import { assert, assertEquals } from "@std/assert";
import { PassTrigger } from "../../src/agent/pass_trigger.ts";
import { Libc } from "../../src/linux/libc.ts";
import { SILENT } from "../../src/log/log.ts";
import {
  AF_INET,
  AF_INET6,
  formatMac,
  type Mac,
  parseAddress,
  parsePrefix,
} from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import type { Underlay } from "../../src/model/underlay.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import type { NotificationReader, NotificationSocket } from "../../src/netlink/notifications.ts";
import type { Backend } from "../../src/overlay/backend/backend.ts";
import { withBlackholes } from "../../src/overlay/backend/blackhole.ts";
import { hostGwBackend } from "../../src/overlay/backend/host_gw.ts";
import { vxlanBackend } from "../../src/overlay/backend/vxlan.ts";
import { ForeignFaults } from "../../src/reconcile/foreign_faults.ts";
import { kernelReader } from "../../src/reconcile/kernel_watch.ts";
import { Observer } from "../../src/reconcile/observe.ts";
import { Passes } from "../../src/reconcile/passes.ts";
import { reconcileOnce } from "../../src/reconcile/reconciler.ts";
import { type Desires, wantedState } from "../../src/reconcile/wanted.ts";
import { rowsOf, TABLES } from "../../src/reconcile/wanted_rows.ts";
import { LeaseSet } from "../../src/registry/lease_set.ts";
import { ROW_CODECS } from "../../src/rtnetlink/row_codecs.ts";
import { createUnderlayLink, TestNetns } from "../double/netns.ts";
import { pick, SEED, seededRandom } from "../double/random.ts";

const NETWORKS = [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/48")];
const SEGMENTS = [parsePrefix("192.0.2.0/24"), parsePrefix("2001:db8::/64")];
const NOTHING: readonly never[] = [];
const VXLAN = { vni: 1, port: 8472, gbp: false, learning: false };
const BACKENDS: Readonly<Record<string, Backend>> = {
  vxlan: withBlackholes(vxlanBackend({ ...VXLAN, directRouting: false }, { networks: NETWORKS })),
  "vxlan with routes over the segment": vxlanBackend({ ...VXLAN, directRouting: true }, {
    networks: NETWORKS,
  }),
  "host-gw": hostGwBackend({}, { networks: NETWORKS }),
};
const HOSTS = 30;

/** A lease of both families. Half of the hosts of a VXLAN are on other segments. */
function leaseOf(host: number, type: string, { at = host, mac = host } = {}): Lease {
  const backendData = { VNI: 1, VtepMAC: formatMac(0x0e2a00000000 + mac as Mac) };
  const isNear = type === "host-gw" || at % 2 === 1;
  const parts = [
    [`10.244.${host}.0/24`, `${isNear ? "192.0.2" : "198.51.100"}.${at}`],
    [`fd00:10:244:${host}::/64`, `2001:db8:${isNear ? "" : "1"}:${isNear ? "" : ":"}${at.toString(16)}`],
  ].map(([subnet, address]) => ({
    subnet: parsePrefix(subnet!),
    underlayAddress: parseAddress(address!),
    backendData,
  }));
  return { host: `h${host}`, backendType: type, parts };
}

/** Knows whether a pass was asked for, as the agent knows by being woken. */
class Asked extends PassTrigger {
  isAsked = true;

  override nudge(): void {
    this.isAsked = true;
    super.nudge();
  }

  override leasesChanged(): void {
    this.isAsked = true;
    super.leasesChanged();
  }
}

/** Notifications of a kernel that come late, in another order, or not at all. */
class Unreliable {
  readonly #socket: NotificationSocket;
  readonly #random: () => number;
  #waiting: Uint8Array<ArrayBuffer>[] = [];
  /** Whether they come as they are. */
  isReliable = false;
  /** Whether they are thrown away, and nobody says so. */
  isDeaf = false;

  constructor(socket: NotificationSocket, random: () => number) {
    this.#socket = socket;
    this.#random = random;
  }

  wait(): Promise<void> {
    return Promise.resolve();
  }

  receive(buffer: Uint8Array<ArrayBuffer>): number {
    for (let length; (length = this.#socket.receive(buffer)) > 0;) {
      if (!this.isDeaf) this.#waiting.push(buffer.slice(0, length));
    }
    const isLate = !this.isReliable && this.#random() < 0.3;
    if (isLate || this.#waiting.length === 0) return 0;
    const at = this.isReliable ? 0 : Math.floor(this.#random() * this.#waiting.length);
    const [datagram] = this.#waiting.splice(at, 1);
    buffer.set(datagram!);
    return datagram!.length;
  }
}

/** A host's passes on a real kernel, its registry left out, and another program with a socket of its own. */
class PassWorld implements AsyncDisposable {
  readonly leases = new LeaseSet();
  readonly trigger = new Asked();
  readonly notifications: Unreliable;
  readonly reader: NotificationReader;
  readonly passes: Passes;
  parts = 0;
  readonly #stack: AsyncDisposableStack;
  readonly #other: NetlinkClient;
  readonly #desire: Desires;
  readonly #observer: Observer;
  readonly #fresh: () => ReturnType<typeof reconcileOnce>;

  private constructor(
    stack: AsyncDisposableStack,
    { libc, netns, backend, linkIndex, random }: {
      readonly libc: Libc;
      readonly netns: TestNetns;
      readonly backend: Backend;
      readonly linkIndex: number;
      readonly random: () => number;
    },
  ) {
    this.#stack = stack;
    const transport = stack.use(netns.openTransport(libc));
    const client = new NetlinkClient(transport);
    this.#other = new NetlinkClient(stack.use(netns.openTransport(libc)));
    this.notifications = new Unreliable(stack.use(netns.openNotifications(libc)), random);
    const underlay: Underlay = {
      linkIndex,
      linkName: "eth0",
      mtuBytes: 1500,
      addresses: [parseAddress("192.0.2.1"), parseAddress("2001:db8::1")].map((address, at) => ({
        family: at === 0 ? AF_INET : AF_INET6,
        address,
        advertised: address,
        mtuBytes: 1500,
        segments: [SEGMENTS[at]!],
      })),
    };
    const own = leaseOf(1, backend.leaseType);
    this.leases.apply({ kind: "snapshot", leases: [own] });
    this.#observer = new Observer(client);
    const deps = {
      client,
      observer: this.#observer,
      foreignFaults: new ForeignFaults(() => undefined),
      linkCreated: () => {},
      now: () => new Date(),
      elapsedMs: () => performance.now(),
      log: SILENT,
    };
    const sources = {
      backend,
      underlay: () => underlay,
      own: () => own,
      unreadable: () => NOTHING,
      networks: NETWORKS,
    };
    const all = () => ({ ...this.leases.remote(own, NETWORKS)! });
    this.#desire = wantedState({
      ...sources,
      remote: (own, options) => this.leases.remote(own, NETWORKS, options),
      changesSince: ({ serial }) => this.leases.changesSince({ serial: serial! }),
    });
    this.passes = new Passes({ ...deps, desire: this.#desire });
    this.#fresh = () => reconcileOnce({ ...deps, desire: () => wantedState({ ...sources, remote: all })() });
    this.reader = kernelReader({
      notifications: this.notifications,
      ownPortId: transport.portId,
      trigger: this.trigger,
      judge: (message, attributes) => this.passes.heard(message, attributes),
      rowChanged: (row) => this.trigger.rowChanged(row),
      linkIndexes: () => this.#observer.linkIndexes,
      vtepIndexes: () => this.#observer.vtepIndexes,
      networks: NETWORKS,
      underlayLinkIndex: () => linkIndex,
      underlayNudged: () => {},
      choiceNudged: () => {},
      isCarrier: () => false,
    });
  }

  static async create(backend: Backend, random: () => number): Promise<PassWorld> {
    await using stack = new AsyncDisposableStack();
    const libc = stack.use(new Libc());
    const netns = stack.use(await TestNetns.create());
    const addresses = { address4: "192.0.2.1/24", address6: "2001:db8::1/64" };
    const linkIndex = await createUnderlayLink(netns, { name: "eth0", ...addresses });
    return new PassWorld(stack.move(), { libc, netns, backend, linkIndex, random });
  }

  /** Hears what is there, and makes the pass that is asked for, if any. */
  turn(): void {
    this.reader.turn();
    if (!this.trigger.isAsked) return;
    this.trigger.isAsked = false;
    const scope = this.trigger.take();
    const report = scope === "all" ? undefined : this.passes.part(scope);
    if (report !== undefined) this.parts++;
    else this.whole();
  }

  whole(): void {
    this.passes.whole();
  }

  /** Hears all that has not come yet, and makes parts of passes as long as one is asked for. */
  settle(): void {
    this.notifications.isReliable = true;
    for (let turn = 0; turn < 5; turn++) this.turn();
    this.notifications.isReliable = false;
  }

  /** What a whole pass changes that knows nothing of earlier ones. */
  drift(): number {
    return this.#fresh()!.planned;
  }

  /** Another program deletes a row, gives it another value, or puts back what was there. */
  disturb(random: () => number): void {
    const { state } = this.#desire()!;
    const name = pick(random, TABLES.filter((table) => state[table].count > 0)) ?? "routes";
    if (state[name].count === 0) return;
    const { words, layout } = state[name];
    const at = pick(random, [...rowsOf(state[name])]);
    const row = words.slice(at, at + layout.words);
    const kind = pick(random, ["delete", "delete", "delete", "change", "put"] as const);
    // A MAC or an underlay address, or the MTU of a route.
    if (kind === "change") row[layout.words - 2 + (name === "routes" ? 1 : 0)]! += 1280;
    const encode = ROW_CODECS[name].encode[kind === "delete" ? "delete" : "replace"];
    const indexes = this.#observer.linkIndexes;
    // Deleted already, or not to be had so: nothing has changed then.
    this.#other.batch(1, (_, writer, sequence) => encode(writer, sequence, row, 0, indexes), () => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

for (const [name, backend] of Object.entries(BACKENDS)) {
  Deno.test(`${name}: passes of any parts end where whole ones do, however late notifications come`, async () => {
    const random = seededRandom(SEED);
    await using world = await PassWorld.create(backend, random);
    const number = () => 2 + Math.floor(random() * HOSTS);
    const present = new Set<number>();
    for (let step = 0; step < 400; step++) {
      for (let count = Math.floor(random() * 4); count > 0; count--) {
        const host = number();
        const kind = pick(random, ["join", "join", "move", "leave", "disturb", "disturb", "twin"] as const);
        if (kind === "disturb") world.disturb(random);
        else if (kind === "leave") {
          if (present.delete(host)) world.leases.apply({ kind: "released", host: `h${host}` });
          world.trigger.leasesChanged();
        } else {
          // At times two hosts have one address, or one MAC.
          const other = kind === "join" ? {} : kind === "move" ? { at: host + 100 } : { mac: number() };
          present.add(host);
          world.leases.apply({ kind: "held", lease: leaseOf(host, backend.leaseType, other) });
          world.trigger.leasesChanged();
        }
      }
      if (random() < 0.05) world.whole();
      else world.turn();
      if (step % 20 !== 19) continue;
      world.settle();
      assertEquals(world.drift(), 0, `seed ${SEED}, step ${step}`);
    }
    assert(world.parts > 100, `${world.parts} passes were partial`);
  });

  Deno.test(`${name}: a whole pass finds what no notification has told of`, async () => {
    const random = seededRandom(SEED);
    await using world = await PassWorld.create(backend, random);
    for (let host = 2; host < 12; host++) {
      world.leases.apply({ kind: "held", lease: leaseOf(host, backend.leaseType) });
    }
    world.trigger.nudge();
    world.turn();
    for (let round = 0; round < 20; round++) {
      world.notifications.isDeaf = true;
      for (let count = 0; count < 5; count++) world.disturb(random);
      const lease = leaseOf(12 + round, backend.leaseType);
      world.leases.apply({ kind: "held", lease });
      world.trigger.leasesChanged();
      world.turn();
      world.whole();
      assertEquals(world.drift(), 0, `seed ${SEED}, round ${round}`);
      world.notifications.isDeaf = false;
    }
  });
}
