import { assertEquals } from "@std/assert";
import { assertSpyCalls, spy } from "@std/testing/mock";
import { FakeTime } from "@std/testing/time";
import { DataPathProbe, type ProbeDeps, type ProbeSocket } from "../../src/host/probe.ts";
import type { ProbeTarget } from "../../src/host/probe_policy.ts";
import { parseAddress } from "../../src/model/address.ts";
import { EACCES, EAGAIN, EPERM, NetlinkError } from "../../src/linux/errno.ts";
import { RecordedLog } from "../double/recorded_log.ts";

const EADDRNOTAVAIL = 99;
const ENETDOWN = 100;
const ENETUNREACH = 101;
const ECONNREFUSED = 111;
const EHOSTUNREACH = 113;
const PEER: ProbeTarget = {
  host: "h2",
  source: parseAddress("10.244.1.0"),
  target: parseAddress("10.244.2.0"),
};

/** A socket that sends with `sent`, and whose peer says `received`, in order; then nothing. */
function socket(sent: number, ...received: number[]): ProbeSocket {
  return {
    send: () => sent,
    receive: () => received.shift() ?? EAGAIN,
    [Symbol.dispose]: () => {},
  };
}

function probeWith(deps: Partial<ProbeDeps>): { probe: DataPathProbe; log: RecordedLog } {
  const log = new RecordedLog();
  const probe = new DataPathProbe({
    targets: () => [PEER],
    open: () => socket(0, ECONNREFUSED),
    random: () => 0,
    elapsedMs: () => Date.now(),
    log,
    ...deps,
  });
  return { probe, log };
}

const answers: [open: () => ProbeSocket, state: string, outcome: string, why: string][] = [
  [() => socket(0, ECONNREFUSED), "proved", "answered", "nobody listens there, says the peer"],
  [() => socket(0, EAGAIN, EAGAIN, ECONNREFUSED), "proved", "answered", "the answer takes its time"],
  [() => socket(0, 0), "proved", "answered", "a program listens there, and answers"],
  [() => socket(0, EHOSTUNREACH), "proved", "answered", "the peer's IPv4 firewall prohibits it"],
  [() => socket(0, ENETUNREACH), "proved", "answered", "the peer's IPv4 firewall prohibits its network"],
  [() => socket(0, EACCES), "proved", "answered", "the peer's IPv6 firewall prohibits it"],
  [() => socket(0, ENETDOWN), "waiting", "this host says ENETDOWN", "a link of this host is down"],
  [
    () => socket(EPERM, ECONNREFUSED),
    "waiting",
    "this host's own rules or routes refuse it with EPERM",
    "this host's own firewall answers in the peer's stead",
  ],
  [
    () => {
      throw new NetlinkError("bind UDP socket", EADDRNOTAVAIL);
    },
    "waiting",
    "this host says EADDRNOTAVAIL",
    "the own address is not there",
  ],
];

for (const [open, state, outcome, why] of answers) {
  Deno.test(`a probe is ${state} when ${why}`, async () => {
    const { probe } = probeWith({ open });
    const stop = new AbortController();
    const running = probe.run(stop);
    if (state !== "proved") stop.abort();
    await running;
    const { state: found, peers } = probe.result;
    assertEquals([found, peers.map(({ outcome }) => outcome)], [state, [outcome]]);
  });
}

Deno.test("a probe asks a peer once a second, closes what it opens, and ends with the signal", async () => {
  using time = new FakeTime(0);
  const openedMs: number[] = [];
  const close = spy();
  const { probe, log } = probeWith({
    open: () => {
      openedMs.push(time.now);
      return { ...socket(0), [Symbol.dispose]: close };
    },
  });
  const stop = new AbortController();
  const running = probe.run(stop);
  while (openedMs.length < 3 && await time.nextAsync());
  stop.abort();
  await running;
  assertEquals(openedMs, [0, 1000, 2000]);
  assertSpyCalls(close, 3);
  assertEquals(log.lines, []);
});

Deno.test("a probe goes on while nobody answers, and says when a peer does", async () => {
  using time = new FakeTime(0);
  const { probe, log } = probeWith({ open: () => time.now < 45_000 ? socket(0) : socket(0, ECONNREFUSED) });
  const running = probe.run(new AbortController());
  while (time.now < 60_000 && await time.nextAsync());
  await running;
  assertEquals(probe.result.state, "proved");
  assertEquals(log.lines, [
    'info data path proved {"sinceMs":49001,"peers":["h2 10.244.2.0: answered"]}',
  ]);
});

Deno.test("a probe asks those who have come in the meantime", async () => {
  const known: ProbeTarget[] = [PEER];
  const late = { ...PEER, host: "h3", target: parseAddress("10.244.3.0") };
  const { probe } = probeWith({
    targets: () => [...known],
    open: ({ target }) => {
      if (!known.includes(late)) known.push(late);
      return target === late.target ? socket(0, ECONNREFUSED) : socket(0);
    },
  });
  await probe.run(new AbortController());
  assertEquals(probe.result.peers.map(({ host }) => host), ["h3"]);
});

Deno.test("a probe without peers has nothing to ask", async () => {
  const open = spy(() => socket(0));
  const { probe } = probeWith({ targets: () => [], open });
  await probe.run(new AbortController());
  const { state, peers } = probe.result;
  assertEquals([state, peers], ["proved", []]);
  assertSpyCalls(open, 0);
});
