import { assertEquals, assertMatch } from "@std/assert";
import { EADDRINUSE, EADDRNOTAVAIL, EMSGSIZE, NetlinkError } from "../../src/linux/errno.ts";
import { type Address, parseAddress, parsePrefix } from "../../src/model/address.ts";
import { Answerer } from "../../src/path/answerer.ts";
import type { ProbePlace } from "../../src/path/open_place.ts";
import { leastBytes, PathDoor } from "../../src/path/path_door.ts";
import { MemberTable } from "../../src/path/path_members.ts";
import { decodeProbe, encodeProbe } from "../../src/path/probe_wire.ts";

const OWN = parseAddress("192.0.2.1");
const PEER = parseAddress("192.0.2.2");
const MEMBERS = new MemberTable([{
  host: "peer",
  backendType: "vxlan",
  parts: [{ subnet: parsePrefix("10.244.2.0/24"), underlayAddress: PEER, backendData: null }],
  origin: { probePort: 9000 },
}], { own: "own", backendType: "vxlan", hasOverlay: true, withOthers: false });
const MEMBER = MEMBERS.families.get(2)!.byHost.get("peer")!;
const ASK = { network: "underlay", packetBytes: 1500 } as const;

interface Sent {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly target: Address;
  readonly port: number;
}

/** A door on ports that record what is sent, and get what a test puts in. */
class Rig {
  readonly sent: Sent[] = [];
  readonly inbox: { source: Address; sourcePort: number; bytes: Uint8Array<ArrayBuffer> }[] = [];
  readonly closed: Address[] = [];
  readonly opened: Address[] = [];
  places: ProbePlace[] = [{ network: "underlay", address: OWN }];
  errno = 0;
  drops = 0;
  readonly linkIndexes: (number | undefined)[] = [];
  refusal: number | undefined;
  owner: string | undefined;
  nowMs = 0;
  #nonce = 0n;
  #wake = Promise.withResolvers<void>();
  readonly answerer = new Answerer(() => MEMBERS, 0);
  readonly door = new PathDoor({
    places: () => this.places,
    port: 8475,
    open: ({ address, linkIndex }) => {
      this.linkIndexes.push(linkIndex);
      if (this.refusal !== undefined) throw new NetlinkError("bind UDP port", this.refusal, this.owner);
      this.opened.push(address);
      const dropsOf = () => this.drops;
      return {
        fd: 1,
        get drops() {
          return dropsOf();
        },
        send: (bytes, target, port) => {
          this.sent.push({ bytes: bytes.slice(), target, port });
          return this.errno;
        },
        receive: () => this.inbox.shift(),
        [Symbol.dispose]: () => void this.closed.push(address),
      };
    },
    poll: {
      wait: async (entries) => {
        await this.#wake.promise;
        this.#wake = Promise.withResolvers<void>();
        return entries.map(() => true);
      },
      wake: () => this.#wake.resolve(),
    },
    answerer: this.answerer,
    nonce: () => ++this.#nonce,
    elapsedMs: () => this.nowMs,
  });

  /** Something arrives, and is seen. */
  async arrive(bytes: Uint8Array<ArrayBuffer>, source = PEER, sourcePort = 9000): Promise<void> {
    this.inbox.push({ source, sourcePort, bytes });
    this.#wake.resolve();
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  }

  /** Runs something while the door listens. */
  async listening(run: () => Promise<void>): Promise<void> {
    const abort = new AbortController();
    const listening = this.door.listen({ signal: abort.signal });
    try {
      await run();
    } finally {
      abort.abort();
      await listening;
    }
  }
}

function answerTo(sent: Sent): Uint8Array<ArrayBuffer> {
  const ask = decodeProbe(sent.bytes)!;
  return encodeProbe({
    kind: "answer",
    nonce: ask.nonce,
    askedUs: ask.askedUs,
    bytes: ask.bytes,
    arrivedBytes: ask.bytes,
    isPlain: false,
    wasDamaged: false,
    hears: { underlay: true, overlay: true, others: false },
  });
}

Deno.test("a question goes to the port that the peer has said, at the size of the packet, and is answered", async () => {
  const rig = new Rig();
  await rig.listening(async () => {
    const asked = rig.door.ask(MEMBER, ASK, 1000);
    const [sent] = rig.sent;
    assertEquals([sent?.target, sent?.port, sent?.bytes.length], [PEER, 9000, 1472]);
    rig.nowMs = 5;
    await rig.arrive(answerTo(sent!));
    const reply = await asked;
    assertEquals([reply?.roundTripMs, reply?.hearsOverlay, reply?.isDamagedBack], [5, true, false]);
    assertEquals([rig.door.asked, rig.door.answered], [1, 1]);
  });
  assertEquals(rig.closed, [OWN], "all is closed at the end");
});

const forgeries: [why: string, forge: (rig: Rig, sent: Sent) => Promise<void>][] = [
  ["another host answers", async (rig, sent) => await rig.arrive(answerTo(sent), parseAddress("192.0.2.9"))],
  ["another port answers", async (rig, sent) => await rig.arrive(answerTo(sent), PEER, 9001)],
  ["the nonce is another one", async (rig, sent) => {
    const ask = decodeProbe(sent.bytes)!;
    const other = encodeProbe({ ...ask, kind: "answer", arrivedBytes: 36, wasDamaged: false, nonce: 99n });
    await rig.arrive(other);
  }],
  ["it is noise", async (rig) => await rig.arrive(new Uint8Array(100))],
];

for (const [why, forge] of forgeries) {
  Deno.test(`a question is not taken for answered when ${why}`, async () => {
    const rig = new Rig();
    await rig.listening(async () => {
      const asked = rig.door.ask(MEMBER, ASK, 30);
      await forge(rig, rig.sent[0]!);
      assertEquals(await asked, undefined);
      assertEquals(rig.answerer.refused, 1);
    });
  });
}

Deno.test("an answer that came while this process was held up is taken", async () => {
  const rig = new Rig();
  rig.door.follow();
  const asked = rig.door.ask(MEMBER, ASK, 1);
  // Nobody listens: it lies in the socket.
  rig.inbox.push({ source: PEER, sourcePort: 9000, bytes: answerTo(rig.sent[0]!) });
  assertEquals((await asked)?.answer.nonce, 1n);
});

Deno.test("what this host refuses to send is lost at once", async () => {
  const rig = new Rig();
  rig.errno = EMSGSIZE;
  rig.door.follow();
  assertEquals(await rig.door.ask(MEMBER, ASK, 60_000), undefined);
});

Deno.test("a question of a peer is answered to where it came from", async () => {
  const rig = new Rig();
  await rig.listening(async () => {
    await rig.arrive(
      encodeProbe({
        kind: "ask",
        nonce: 5n,
        askedUs: 1n,
        bytes: 200,
        answerBytes: 100,
        isPlain: false,
        wantsPlain: false,
        hears: { underlay: false, overlay: false, others: false },
      }),
      PEER,
      4321,
    );
    const [sent] = rig.sent;
    assertEquals([sent?.target, sent?.port, sent?.bytes.length], [PEER, 4321, 100]);
  });
});

Deno.test("ports follow the addresses of this host", () => {
  const rig = new Rig();
  rig.door.follow();
  assertEquals([rig.opened, rig.door.port, rig.door.isBehind], [[OWN], 8475, false]);
  const moved = parseAddress("192.0.2.77");
  rig.places = [{ network: "underlay", address: moved }];
  assertEquals(rig.door.isBehind, true);
  rig.door.follow();
  assertEquals([rig.opened, rig.closed, rig.door.isBehind], [[OWN, moved], [OWN], false]);
  assertEquals([rig.door.has("underlay", 2), rig.door.has("overlay", 2)], [true, false]);
});

Deno.test("a port that another program has is told of and tried again, ever more rarely", () => {
  const rig = new Rig();
  rig.refusal = EADDRINUSE;
  rig.door.follow();
  assertEquals(rig.door.port, undefined, "others are told of no port");
  assertMatch(
    rig.door.fault!,
    /^probes are not answered at 192\.0\.2\.1: UDP port 8475 .* another program has it/,
  );
  assertEquals(rig.door.isBehind, false, "not at once");
  rig.nowMs = 1000;
  assertEquals(rig.door.isBehind, true);
  rig.door.follow();
  rig.nowMs = 2500;
  assertEquals(rig.door.isBehind, false);
  rig.nowMs = 3000;
  rig.refusal = undefined;
  rig.door.follow();
  assertEquals([rig.door.port, rig.door.fault], [8475, undefined]);
});

Deno.test("who has the port is named, where that is known", () => {
  const rig = new Rig();
  rig.refusal = EADDRINUSE;
  rig.owner = "dnsmasq (process 7)";
  rig.door.follow();
  assertMatch(
    rig.door.fault!,
    /UDP port 8475 can't be had, as dnsmasq \(process 7\) has it; give this host another/,
  );
});

Deno.test("an address that is not there yet is no fault", () => {
  const rig = new Rig();
  rig.refusal = EADDRNOTAVAIL;
  rig.door.follow();
  assertEquals([rig.door.fault, rig.door.port], [undefined, undefined]);
});

Deno.test("the smallest packet holds a head and the headers", () => {
  assertEquals([leastBytes(2), leastBytes(10)], [64, 84]);
});

const floods: [what: string, drops: number, ms: number, isDeaf: boolean][] = [
  ["nothing was dropped", 0, 250, false],
  ["some were damaged", 20, 250, false],
  ["as many were dropped in a long time", 3000, 100_000, false],
  ["a flood had no room", 3000, 250, true],
];
for (const [what, drops, ms, isDeaf] of floods) {
  Deno.test(`silence says ${isDeaf ? "nothing of a path" : "that a probe is lost"} when ${what}`, async () => {
    const rig = new Rig();
    await rig.listening(async () => {
      const asked = rig.door.ask(MEMBER, ASK, 10);
      rig.drops = drops;
      rig.nowMs = ms;
      assertEquals(await asked, undefined);
      assertEquals(rig.door.isDeaf("underlay", 2), isDeaf);
      rig.nowMs += 10_000;
      assertEquals(rig.door.isDeaf("underlay", 2), false, "it is over");
    });
  });
}

Deno.test("a link-local address of IPv6 is opened on its link, and anew when that is another one", async () => {
  const rig = new Rig();
  const address = parseAddress("fe80::1");
  rig.places = [{ network: "underlay", address, linkIndex: 3 }];
  rig.door.follow();
  rig.places = [{ network: "underlay", address, linkIndex: 4 }];
  assertEquals(rig.door.isBehind, true);
  rig.door.follow();
  assertEquals(rig.linkIndexes, [3, 4]);
  await rig.listening(() => Promise.resolve());
});
