import { assertEquals, assertThrows } from "@std/assert";
import { listenToDrops, readTraceLine, reasonsIn } from "../../src/linux/drop_trace.ts";
import { TraceError, type TraceInstance } from "../../src/linux/trace_fs.ts";

const AT = { thread: 25795, isInterrupt: false, atMs: 796726.325 };

// `cat trace_pipe` of an instance with skb:kfree_skb and net:net_dev_queue, Linux 6.18.
const lines: [what: string, line: string, event: ReturnType<typeof readTraceLine>][] = [
  [
    "a drop with its reason",
    "            bash-25795   [001] .....   796.726325: kfree_skb: skbaddr=00000000ce5836b8 " +
    "rx_sk=0000000000000000 protocol=2048 location=nft_do_chain+0x3e8/0x610 reason: NETFILTER_DROP",
    {
      kind: "drop",
      at: AT,
      packet: "00000000ce5836b8",
      reason: "NETFILTER_DROP",
      protocol: 2048,
      place: "nft_do_chain",
    },
  ],
  [
    "a drop of a kernel without reasons",
    "            bash-25795   [001] .....   796.726325: kfree_skb: skbaddr=0000000000000001 protocol=2048 " +
    "location=ip_rcv+0x1/0x2",
    { kind: "drop", at: AT, packet: "0000000000000001", reason: "", protocol: 2048, place: "ip_rcv" },
  ],
  [
    "a drop amid a soft interrupt, which is another's",
    "            bash-25795   [001] ..s1.   796.726325: kfree_skb: skbaddr=0000000000000001 protocol=2048 " +
    "location=ip_rcv+0x1/0x2 reason: OTHERHOST",
    {
      kind: "drop",
      at: { ...AT, isInterrupt: true },
      packet: "0000000000000001",
      reason: "OTHERHOST",
      protocol: 2048,
      place: "ip_rcv",
    },
  ],
  [
    "a packet on its way",
    "    kworker/u8:2-25795   [001] b....   796.726325: net_dev_queue: dev=d0 skbaddr=0000000061491e95 len=45",
    { kind: "sent", at: AT, packet: "0000000061491e95", link: "d0", lengthBytes: 45 },
  ],
  [
    "a mark of our own",
    "            deno-25795   [001] .....   796.726325: tracing_mark_write: probe 1",
    { kind: "mark", at: AT, text: "probe 1" },
  ],
  ["a loss", "CPU:1 [LOST 17 EVENTS]", { kind: "lost" }],
  ["a head line", "#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION", undefined],
  [
    "a task that is called as a line",
    " [1] .. 1.1: k: -25795   [001] .....   796.726325: tracing_mark_write: probe 1",
    { kind: "mark", at: AT, text: "probe 1" },
  ],
];

for (const [what, line, event] of lines) {
  Deno.test(`readTraceLine() reads ${what}`, () => assertEquals(readTraceLine(line), event));
}

Deno.test("reasonsIn() reads the kernel's names and numbers out of the format", () => {
  const format =
    'print fmt: "reason: %s", __print_symbolic(REC->reason, { 2, "NOT_SPECIFIED" }, { 12, "NETFILTER_DROP" })';
  assertEquals([...reasonsIn(format)], [["NOT_SPECIFIED", 2], ["NETFILTER_DROP", 12]]);
});

Deno.test("listenToDrops() has the kernel leave out what is not asked for, by the numbers of that kernel", () => {
  const enabled: string[] = [];
  const trace = (format: string | undefined) =>
    ({
      format: () => format,
      enable: (event: string, filter: string) => enabled.push(`${event}: ${filter}`),
    }) as unknown as TraceInstance;
  listenToDrops(trace('{ 12, "NETFILTER_DROP" }, { 13, "OTHERHOST" }'), {
    protocols: [2048, 34525],
    without: ["OTHERHOST", "NOT_OF_THIS_KERNEL"],
    sentBytes: { from: 100, to: 200 },
  });
  assertEquals(enabled, [
    "skb/kfree_skb: (protocol == 2048 || protocol == 34525) && reason != 13",
    "net/net_dev_queue: len >= 100 && len <= 200",
  ]);
  assertThrows(() => listenToDrops(trace(undefined), { protocols: [2048] }), TraceError);
});
