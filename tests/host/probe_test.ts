import { assert, assertEquals, assertLess } from "@std/assert";
import { DataPathProbe, type ProbeDeps, type ProbeSocket } from "../../src/host/probe.ts";
import type { ProbeTarget } from "../../src/host/probe_policy.ts";
import { parseAddress } from "../../src/model/address.ts";
import { EACCES, EAGAIN, EPERM, NetlinkError } from "../../src/netlink/errno.ts";
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
    elapsedMs: () => performance.now(),
    log,
    ...deps,
  });
  return { probe, log };
}

const answers: [open: () => ProbeSocket, state: string, outcome: string, why: string][] = [
  [() => socket(0, ECONNREFUSED), "proved", "answered", "nobody listens there, says the peer"],
  [() => socket(0, EAGAIN, EAGAIN, ECONNREFUSED), "proved", "answered", "the answer takes its time"],
  [() => socket(0, 0), "proved", "answered", "somebody listens there, and answers"],
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
  const openedMs: number[] = [];
  let isOpen = 0;
  const { probe, log } = probeWith({
    open: () => {
      openedMs.push(performance.now());
      isOpen++;
      return { ...socket(0), [Symbol.dispose]: () => void isOpen-- };
    },
  });
  const stop = new AbortController();
  const running = probe.run(stop);
  const rounds = Promise.withResolvers<void>();
  const timer = setInterval(() => openedMs.length >= 3 && rounds.resolve(), 5);
  await rounds.promise;
  clearInterval(timer);
  const abortedMs = performance.now();
  stop.abort();
  await running;
  assertLess(performance.now() - abortedMs, 500);
  assertEquals(isOpen, 0);
  for (const [index, ms] of openedMs.entries()) {
    assert(index === 0 || ms - openedMs[index - 1]! > 900, `${openedMs}`);
  }
  assertEquals(log.lines, []);
});

Deno.test("a probe says once that nobody answers, goes on, and says when somebody does", async () => {
  // A clock that runs ahead: thirty seconds are two rounds.
  const startMs = performance.now();
  const elapsedMs = () => (performance.now() - startMs) * 20;
  let rounds = 0;
  const { probe, log } = probeWith({
    elapsedMs,
    open: () => ++rounds < 5 ? socket(0) : socket(0, ECONNREFUSED),
  });
  await probe.run(new AbortController());
  assertEquals(probe.result.state, "proved");
  assertEquals(log.lines.map((line) => line.replace(/"sinceMs":[\d.]+/, "")), [
    'warn data path unanswered {,"peers":["h2 10.244.2.0: silent"]}',
    'info data path proved {,"peers":["h2 10.244.2.0: answered"]}',
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
  const { probe } = probeWith({
    targets: () => [],
    open: () => {
      throw new Error("nobody is to be asked");
    },
  });
  await probe.run(new AbortController());
  const { state, peers } = probe.result;
  assertEquals([state, peers], ["proved", []]);
});
