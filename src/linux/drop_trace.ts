import { TraceError, type TraceInstance } from "./trace_fs.ts";

// What the kernel says of packets: `skb:kfree_skb`, `net:net_dev_queue` and marks of our own. The kernel prints the events
// itself, with the names of reasons and functions, so that no offset and no number is known here.

/** A packet that the kernel gave up. */
export interface DroppedPacket {
  readonly kind: "drop";
  readonly at: TracePlace;
  /** What names the packet for as long as it lives; the kernel hashes it. */
  readonly packet: string;
  /** The kernel's name without its prefix: `NETFILTER_DROP`; empty before Linux 5.17. */
  readonly reason: string;
  /** The Ethernet protocol, as a number; 0 where it has none yet. */
  readonly protocol: number;
  /** The function that gave it up: `nft_do_chain`. */
  readonly place: string;
}

/** A packet that was handed to a link to be sent. */
export interface SentPacket {
  readonly kind: "sent";
  readonly at: TracePlace;
  readonly packet: string;
  readonly link: string;
  /** Bytes, the link's own header with them. */
  readonly lengthBytes: number;
}

/** A line that this program wrote. */
export interface TraceMark {
  readonly kind: "mark";
  readonly at: TracePlace;
  readonly text: string;
}

/** The kernel could not keep up: what happened in between is unknown. */
export interface TraceLoss {
  readonly kind: "lost";
}

/** Who was at work when something happened, and when. */
export interface TracePlace {
  /** Of the thread, as the whole machine numbers it. */
  readonly thread: number;
  /** Whether that thread was only interrupted for it: what happened is another's. */
  readonly isInterrupt: boolean;
  /** By the trace's clock. */
  readonly atMs: number;
}

export type TraceEvent = DroppedPacket | SentPacket | TraceMark | TraceLoss;

/**
 * `TASK-PID [CPU] FLAGS TIME: EVENT: FIELDS`, the task in 16 columns: it is another program's word, and is not read. The
 * third flag says `s` in a soft interrupt, `h` in a hard one, `H` where one is in the other, and `.` for the thread itself.
 */
const LINE = /^.{16}-(\d+) +\[\d+\] +(\S\S)(\S)\S* +(\d+\.\d+): (\w+): (.*)$/;
const LOSS = /^CPU:\d+ \[LOST /;

/** Reads one line of the trace; `undefined` for any other. */
export function readTraceLine(line: string): TraceEvent | undefined {
  if (LOSS.test(line)) return { kind: "lost" };
  const match = LINE.exec(line);
  if (match === null) return undefined;
  const [, thread, , context, seconds, event, rest] = match as unknown as string[];
  const at: TracePlace = {
    thread: Number(thread),
    isInterrupt: context !== ".",
    atMs: Number(seconds) * 1000,
  };
  if (event === "tracing_mark_write") return { kind: "mark", at, text: rest!.trim() };
  const fields = fieldsOf(rest!);
  const packet = fields.get("skbaddr");
  if (packet === undefined) return undefined;
  if (event === "kfree_skb") {
    return {
      kind: "drop",
      at,
      packet,
      reason: fields.get("reason") ?? "",
      protocol: Number(fields.get("protocol") ?? 0),
      place: (fields.get("location") ?? "").replace(/\+0x.*$/, ""),
    };
  }
  if (event !== "net_dev_queue") return undefined;
  return {
    kind: "sent",
    at,
    packet,
    link: fields.get("dev") ?? "",
    lengthBytes: Number(fields.get("len") ?? 0),
  };
}

/** `a=1 b=2 reason: X`: which fields there are, and in which order, differs between kernels. */
function fieldsOf(text: string): ReadonlyMap<string, string> {
  return new Map([...text.matchAll(/(\w+)(?:=|: )(\S*)/g)].map(([, name, value]) => [name!, value!]));
}

/** The reasons that this kernel knows, by name, with its own numbers. */
export function reasonsIn(format: string): ReadonlyMap<string, number> {
  return new Map(
    [...format.matchAll(/\{ (\d+), "(\w+)" \}/g)].map(([, number, name]) => [name!, Number(number)]),
  );
}

/** What one who listens wants to hear of. */
export interface DropFilter {
  /** Ethernet protocols. */
  readonly protocols: readonly number[];
  /** Reasons that say nothing, by name. */
  readonly without?: readonly string[];
  /** Sent packets too, of so many bytes; none if absent. */
  readonly sentBytes?: { readonly from: number; readonly to: number };
}

/**
 * Has the kernel tell of packets that it gives up, as far as they are asked for: it leaves the others out itself.
 *
 * @throws {TraceError} If it can't.
 */
export function listenToDrops(
  trace: TraceInstance,
  { protocols, without = [], sentBytes }: DropFilter,
): void {
  const format = trace.format("skb/kfree_skb");
  if (format === undefined) throw new TraceError("this kernel does not tell of dropped packets");
  const numbers = reasonsIn(format);
  const quiet = without.flatMap((name) => numbers.get(name) ?? []);
  const filter = [
    `(${protocols.map((protocol) => `protocol == ${protocol}`).join(" || ")})`,
    ...quiet.map((number) => `reason != ${number}`),
  ];
  trace.enable("skb/kfree_skb", filter.join(" && "));
  if (sentBytes !== undefined) {
    trace.enable("net/net_dev_queue", `len >= ${sentBytes.from} && len <= ${sentBytes.to}`);
  }
}
