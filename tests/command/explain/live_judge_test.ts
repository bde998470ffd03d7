import { assertEquals } from "@std/assert";
import type { TraceEvent } from "../../../src/linux/drop_trace.ts";
import { dropWords } from "../../../src/command/explain/drop_words.ts";
import {
  fatesOf,
  fateText,
  type LiveProbe,
  type LiveWay,
  markOf,
  sideOf,
  stopOf,
} from "../../../src/command/explain/live_judge.ts";

const IPV4 = 0x0800;
const PROBE: LiveProbe = { packetBytes: 349, sendErrno: 0, answerErrno: undefined };
const at = (atMs: number, isInterrupt = false, thread = 7) => ({ thread, isInterrupt, atMs });

const begin: TraceEvent = { kind: "mark", at: at(0), text: markOf.begin(0) };
const end: TraceEvent = { kind: "mark", at: at(1), text: markOf.end(0) };
const sent = (link: string, atMs: number, lengthBytes = 363, packet = "a"): TraceEvent => ({
  kind: "sent",
  at: at(atMs, true),
  packet,
  link,
  lengthBytes,
});
const drop = (
  reason: string,
  atMs: number,
  more: Partial<Extract<TraceEvent, { kind: "drop" }>> = {},
): TraceEvent => ({
  kind: "drop",
  at: at(atMs, true),
  packet: "a",
  reason,
  protocol: IPV4,
  place: "somewhere",
  ...more,
});

const cases: [what: string, probe: Partial<LiveProbe>, events: readonly TraceEvent[], fate: string][] = [
  ["nothing is seen of it", {}, [begin, end], "gone"],
  ["a socket is closed whose queue has packets", {}, [
    begin,
    end,
    drop("QUEUE_PURGE", 3, { packet: "b", place: "sk_stream_kill_queues" }),
  ], "gone"],
  ["a socket takes no more, while this thread is at work", {}, [
    begin,
    drop("SOCKET_RCVBUFF", 0.2, { packet: "b", at: at(0.2) }),
    end,
  ], "gone"],
  [
    "it has left by two links",
    {},
    [begin, sent("flannel.1", 0.1), sent("eth0", 0.2, 413), end],
    "gone flannel.1 eth0",
  ],
  [
    "it is dropped behind a link",
    {},
    [begin, sent("flannel.1", 0.1), drop("NO_TX_TARGET", 0.2), end],
    "NO_TX_TARGET flannel.1",
  ],
  ["it is dropped before any link, while this thread is at work", {}, [
    begin,
    drop("NETFILTER_DROP", 0.2, { at: at(0.2) }),
    end,
  ], "NETFILTER_DROP"],
  ["another's is dropped while this thread is interrupted", {}, [
    begin,
    drop("NETFILTER_DROP", 0.2, { packet: "b" }),
    end,
  ], "gone"],
  ["another thread's is dropped meanwhile", {}, [
    begin,
    drop("NETFILTER_DROP", 0.2, { at: at(0.2, false, 8), packet: "b" }),
    end,
  ], "gone"],
  ["one of another protocol is dropped meanwhile", {}, [
    begin,
    drop("NETFILTER_DROP", 0.2, { at: at(0.2), protocol: 0x86dd }),
    end,
  ], "gone"],
  [
    "this thread drops another one before",
    {},
    [drop("NETFILTER_DROP", -1, { at: at(-1) }), begin, end],
    "gone",
  ],
  ["its place in memory is another's soon after", {}, [
    begin,
    sent("eth0", 0.1),
    end,
    drop("IP_RPFILTER", 300),
  ], "gone eth0"],
  ["another packet of another size has its place", {}, [
    begin,
    sent("eth0", 0.1),
    end,
    sent("eth1", 0.3, 364),
  ], "gone eth0"],
  ["its neighbour does not answer, three seconds later", {}, [
    begin,
    sent("eth0", 0.1),
    end,
    drop("NEIGH_FAILED", 3001),
  ], "NEIGH_FAILED eth0"],
  ["a packet that no link has seen is given up later", {}, [
    begin,
    end,
    drop("NEIGH_FAILED", 3001, { packet: "b" }),
  ], "NEIGH_FAILED?"],
  ["an answer comes, and its place is another's", { answerErrno: 111 }, [
    begin,
    sent("eth0", 0.1),
    drop("IP_RPFILTER", 0.2),
    end,
  ], "answered"],
  [
    "a rule rejects it",
    { answerErrno: 111 },
    [begin, sent("eth0", 0.1), drop("NETFILTER_DROP", 0.2), end],
    "NETFILTER_DROP eth0",
  ],
  ["it comes to where nobody listens", {}, [begin, sent("lo", 0.1), drop("NO_SOCKET", 0.2), end], "arrived"],
  ["it may not be sent", { sendErrno: 101 }, [begin, end], "refused 101"],
];

for (const [what, probe, events, expected] of cases) {
  Deno.test(`fatesOf() tells what became of a packet when ${what}`, () => {
    const [fate] = fatesOf([{ ...PROBE, ...probe }], events, IPV4);
    const links = fate!.kind === "gone" || fate!.kind === "dropped" ? fate!.links : [];
    const said = fate!.kind === "dropped"
      ? `${fate!.drop.reason}${fate!.isCertain ? "" : "?"}`
      : fate!.kind === "refused"
      ? `refused ${fate!.errno}`
      : fate!.kind;
    assertEquals([said, ...links].join(" "), expected);
    fateText(fate!);
  });
}

Deno.test("packets of others that are as large are not taken for those of a run", () => {
  const probes = [PROBE, { ...PROBE, packetBytes: 1430 }];
  const events: TraceEvent[] = [
    begin,
    end,
    { kind: "mark", at: at(2), text: markOf.begin(1) },
    { kind: "mark", at: at(3), text: markOf.end(1) },
    // A probe of the host's own, and what a pod of another link's name sends.
    sent("flannel.1", 4, 1444, "b"),
    sent("eth0", 4.1, 1494, "b"),
    sent("lo", 5, 1444, "c"),
    // Another pod's, whose link has the same name: the small one has not gone yet.
    sent("eth0", 6, 1444, "d"),
  ];
  assertEquals(fatesOf(probes, events, IPV4, "eth0").map((fate) => fate), [
    { kind: "gone", links: [] },
    { kind: "gone", links: [] },
  ]);
  // They go on in their order.
  const gone = [...events, sent("eth0", 7, 363, "e"), sent("eth0", 7.1, 1444, "f")];
  assertEquals(fatesOf(probes, gone, IPV4, "eth0").map((fate) => fate), [
    { kind: "gone", links: ["eth0"] },
    { kind: "gone", links: ["eth0"] },
  ]);
});

Deno.test("two packets of one run are told apart by their sizes", () => {
  const probes = [PROBE, { ...PROBE, packetBytes: 356 }];
  const events: TraceEvent[] = [
    begin,
    end,
    { kind: "mark", at: at(2), text: markOf.begin(1) },
    sent("flannel.1", 2.1, 370, "b"),
    drop("NO_TX_TARGET", 2.2, { packet: "b" }),
    { kind: "mark", at: at(3), text: markOf.end(1) },
    // The first one waited for a neighbour.
    sent("flannel.1", 4, 363, "a"),
    drop("PKT_TOO_BIG", 4.1),
  ];
  const fates = fatesOf(probes, events, IPV4);
  assertEquals(fates.map((fate) => fate.kind === "dropped" ? fate.drop.reason : fate.kind), [
    "PKT_TOO_BIG",
    "NO_TX_TARGET",
  ]);
});

Deno.test("what this host refuses to send is told by the errno", () => {
  const stop = (errno: number) => stopOf({ kind: "refused", errno })?.code;
  assertEquals([stop(90), stop(1), stop(101), stop(113)], [
    "dropped-too-big",
    "dropped-by-rule",
    "dropped-by-route",
    "dropped-by-route",
  ]);
  assertEquals(stopOf({ kind: "answered" }), undefined);
  assertEquals(stopOf({ kind: "gone", links: [] }), undefined);
});

Deno.test("a reason that is not known here is told in the kernel's words", () => {
  assertEquals(
    dropWords({ reason: "NEW_REASON", place: "new_place" }).text,
    "the kernel says NEW_REASON, in new_place",
  );
  assertEquals(dropWords({ reason: "QUEUE_PURGE", place: "neigh_destroy" }).code, "dropped-neighbour");
  assertEquals(dropWords({ reason: "QUEUE_PURGE", place: "sk_stream_kill_queues" }).code, "dropped");
  assertEquals(dropWords({ reason: "", place: "x" }).text, "the kernel says no reason, in x");
});

const WAY: LiveWay = { links: ["pod0", "cni0", "flannel.1", "eth0"], isFromPod: true };
const sides: [what: string, links: readonly string[], reason: string, place: string, side: string][] = [
  ["no link has got it", [], "NETFILTER_DROP", "nf_hook_slow", "here"],
  ["the pod's own link has the name of the last", ["eth0"], "IP_RPFILTER", "ip_rcv_finish_core", "here"],
  ["it is between two links", ["eth0", "flannel.1"], "NETFILTER_DROP", "nft_do_chain", "here"],
  [
    "the queue of the last link is full",
    ["eth0", "flannel.1", "eth0"],
    "QDISC_DROP",
    "__dev_xmit_skb",
    "here",
  ],
  ["the last link does not take it", ["eth0", "flannel.1", "eth0"], "NOT_SPECIFIED", "veth_xmit", "here"],
  ["it has left by the last link", ["eth0", "flannel.1", "eth0"], "NETFILTER_DROP", "nf_hook_slow", "behind"],
  ["it has gone on by a link that was not read", ["eth0", "tun7"], "NETFILTER_DROP", "nf_hook_slow", "aside"],
];
for (const [what, links, reason, place, side] of sides) {
  Deno.test(`a drop is ${side} when ${what}`, () => {
    const packet = { kind: "drop", at: at(1), packet: "a", protocol: IPV4, reason, place } as const;
    assertEquals(sideOf({ kind: "dropped", drop: packet, links, isCertain: true }, WAY), side);
  });
}
