import { assert, assertEquals } from "@std/assert";
import { peersSchema, type StatusAnswer, statusSchema } from "../../../src/command/status/answer.ts";
import { peerLines, statusLines, verdictOf } from "../../../src/command/status/status_text.ts";
import { statusReport } from "../../../src/status/status_report.ts";
import { HOST, READY, standing } from "../../status/facts.ts";

const NOW = new Date("2026-01-01T00:10:00Z");
const PEERS = { total: 12, probed: 3, well: 9, unwell: { "other backend": 2, "left out": 1 } };

function answer(changes: Partial<StatusAnswer> = {}): StatusAnswer {
  return {
    ...statusSchema.parse(JSON.parse(JSON.stringify(statusReport({ ...READY, host: () => HOST })))),
    version: "0.1.0",
    process: { id: 7, startedAt: "2026-01-01T00:00:00Z" },
    overlay: { backend: "vxlan", mtuBytes: 1450 },
    peers: PEERS,
    ...changes,
  };
}

function conditionsOf(...list: Parameters<typeof standing>): StatusAnswer["conditions"] {
  const report = statusReport({ ...READY, conditions: () => standing(...list) });
  return statusSchema.parse(JSON.parse(JSON.stringify(report))).conditions;
}

Deno.test("statusLines() tells a host that is ready", () => {
  assertEquals(statusLines(answer(), { now: NOW }), [
    "2026-01-01T00:10:00Z ready",
    "  host      192.0.2.1, loden 0.1.0, process 7, up 10 min",
    "  subnet    10.244.1.0/24, 3 of 253 addresses in use",
    "  backend   vxlan, packets of pods up to 1450 bytes",
    "  underlay  eth0 192.0.2.1 (others send to 198.51.100.1), MTU 1500",
    "  registry  etcd /net: followed, heard 9 min ago",
    "  pass      10 min ago, 2 ms, nothing to change",
    "  peers     9/12 well, 3 probed; 1 left out, 2 other backend",
  ]);
});

Deno.test("statusLines() tells how large a subnet is, in no digits that are not known", () => {
  const pools = [{ subnet: "10.244.1.0/24", used: 3, size: 2 ** 64 - 3 }];
  assertEquals(
    statusLines(answer({ pools }), { now: NOW })[2],
    "  subnet    10.244.1.0/24, 3 of 2^64 addresses in use",
  );
});

Deno.test("statusLines() tells what blocks first, since when, and what to do", () => {
  const conditions = conditionsOf(
    ["registry-not-followed", "the registry can't be followed: it is away"],
    ["pod-files-missing", "the conflist can't be written"],
  );
  const lines = statusLines(answer({ ready: false, conditions }), { now: NOW });
  assertEquals(lines[0], "2026-01-01T00:10:00Z NOT READY: pod-files-missing");
  const at = lines.indexOf("");
  assertEquals(lines.slice(at + 1, at + 3), [
    "blocking: pod-files-missing, for 10 min",
    "  the conflist can't be written",
  ]);
  assert(lines[at + 3]!.startsWith("  do: "));
  assertEquals(lines[at + 4], "degraded: registry-not-followed, for 10 min");
});

const verdicts: [ready: boolean, conditions: Parameters<typeof standing>, verdict: string][] = [
  [true, [], "ready"],
  [true, [["vanished-pods", "2 pods"]], "ready"],
  [true, [["registry-not-followed", "x"]], "ready, with a note: registry-not-followed"],
  [
    true,
    [["other-backend", "x"], ["rules-overruled", "y"], ["rules-overruled", "z"]],
    "ready, with 3 notes: other-backend, rules-overruled (2)",
  ],
  [false, [["lease-missing", "x"], ["pod-files-missing", "y"]], "NOT READY: lease-missing, and 1 more"],
  [false, [], "NOT READY: no reason is told"],
];

for (const [ready, conditions, verdict] of verdicts) {
  Deno.test(`verdictOf() says "${verdict}"`, () => {
    assertEquals(verdictOf(answer({ ready, conditions: conditionsOf(...conditions) })), verdict);
  });
}

Deno.test("statusLines() has room for some conditions, and counts the others", () => {
  const conditions = conditionsOf(
    ...Array.from({ length: 60 }, (_, number) => ["rules-overruled", `rule ${number}`] as const),
  );
  const lines = statusLines(answer({ conditions }), { now: NOW });
  assertEquals(lines.at(-1), "and 54 more, which --json lists");
  assert(lines.length < 30);
});

Deno.test("statusLines() tells what an agent that has just started knows", () => {
  const { ready, conditions } = answer({
    ready: false,
    conditions: conditionsOf(["agent-starting", "it is starting"]),
  });
  const lines = statusLines(statusSchema.parse({ ready, conditions }), { now: NOW });
  assertEquals(lines.slice(0, 2), [
    "2026-01-01T00:10:00Z NOT READY: agent-starting",
    "  host  without a lease",
  ]);
});

Deno.test("an answer of another version is read as far as it can be", () => {
  const odd = {
    ready: true,
    conditions: 5,
    registry: [],
    lease: { host: 3 },
    pools: "x",
    peers: { total: "many" },
  };
  assertEquals(statusLines(statusSchema.parse(odd), { now: NOW }), [
    "2026-01-01T00:10:00Z ready",
    "  host  without a lease",
  ]);
  assertEquals(statusSchema.safeParse({ conditions: [] }).success, false);
});

Deno.test("peerLines() has those that are not well first, with the reason, and counts the rest", () => {
  const peer = {
    count: 1,
    subnets: ["10.244.2.0/24", "fd00:2::/64"],
    underlayAddresses: ["192.0.2.2", "2001:db8::2"],
    backendType: "vxlan",
  };
  const peers = peersSchema.parse({
    at: "2026-01-01T00:10:00.000Z",
    counts: PEERS,
    offset: 0,
    peers: [
      { ...peer, host: "h2", ways: [], state: "left out", reason: "no MAC" },
      {
        ...peer,
        host: "host-3",
        ways: ["vxlan", "vxlan"],
        state: "lossy",
        reason: "half of them are lost",
        paths: [
          {
            family: "ipv4",
            state: "lossy",
            roundTripMs: 0.41,
            lossRatio: 0.5,
            mtuBytes: 1400,
            answeredAt: null,
          },
        ],
      },
    ],
  });
  assertEquals(peerLines(peers), [
    "",
    "peers at 2026-01-01T00:10:00Z: 9/12 well, 3 probed; 1 left out, 2 other backend",
    "HOST    SUBNET                     UNDERLAY               WAY    PROBES                    STATE",
    "h2      10.244.2.0/24,fd00:2::/64  192.0.2.2,2001:db8::2  -      -                         left out: no MAC",
    "host-3  10.244.2.0/24,fd00:2::/64  192.0.2.2,2001:db8::2  vxlan  0.4 ms 50% lost MTU 1400  lossy: half of them are lost",
    "and 10 more, which --all lists",
  ]);
});

Deno.test("peerLines() says that nobody else is there, or that it is not known", () => {
  const at = "2026-01-01T00:10:00.000Z";
  const alone = { at, counts: { total: 0, well: 0, unwell: {}, probed: 0 }, offset: 0, peers: [] };
  assertEquals(peerLines(alone), ["", "peers at 2026-01-01T00:10:00Z: none: this host is alone"]);
  assertEquals(peerLines({ ...alone, counts: null }), [
    "",
    "peers: it is not known yet who is in the overlay",
  ]);
});
