import { assert, assertEquals } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { parsePing } from "../../src/lab/measure.ts";
import { type Address, formatAddress } from "../../src/model/address.ts";
import { until } from "./overlay_rig.ts";

/** What was sent and answered, from the start of a ping to its end. */
export interface PingTally {
  readonly sent: number;
  /** Sequence numbers without an answer. What was under way at the end does not count. */
  readonly lost: readonly number[];
}

/** Whom a ping is sent to, as a host is whose pod has these addresses. */
export interface PingTarget {
  readonly name: string;
  readonly pod: { readonly addresses: readonly Address[] };
}

/** A ping from a pod that keeps running, 100 packets a second. */
export class RunningPing implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #answered = new Set<number>();
  #output = "";
  readonly #read: Promise<void>;
  #isStopped = false;

  private constructor(readonly name: string, child: Deno.ChildProcess) {
    this.#child = child;
    this.#read = this.#follow();
  }

  /** Starts it, and returns once the first answer is there. */
  static async start(from: LabHost, to: PingTarget, family = 0): Promise<RunningPing> {
    const address: Address = to.pod.addresses[family]!;
    const child = new Deno.Command("ip", {
      args: ["netns", "exec", from.pod.netns.name, "ping", "-n", "-i", "0.01", formatAddress(address)],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
      env: { LC_ALL: "C" },
    }).spawn();
    const ping = new RunningPing(`${from.name} to ${to.name}`, child);
    try {
      await ping.untilMore(1);
      return ping;
    } catch (error) {
      await ping[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #follow(): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      this.#output += text;
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        const [, sequence] = /bytes from .*seq=(\d+)/.exec(line) ?? [];
        if (sequence !== undefined) this.#answered.add(Number(sequence));
      }
    }
  }

  /** Waits until `count` more packets were answered. */
  async untilMore(count: number): Promise<void> {
    const enough = this.#answered.size + count;
    await until(`get ${count} more answers on the way ${this.name}`, () => {
      return this.#answered.size >= enough ? true : undefined;
    }, () => `${this.#answered.size} came`);
  }

  /** Ends it and counts. */
  async stop(): Promise<PingTally> {
    await this[Symbol.asyncDispose]();
    const { sent } = parsePing(this.#output);
    const last = Math.max(0, ...this.#answered);
    // An answer that takes longer than to the next packet is late, not lost.
    assert(sent - last <= 2, `${this.name}: ${sent} sent, the last answer was to ${last}`);
    const lost: number[] = [];
    for (let sequence = 1; sequence <= last; sequence++) {
      if (!this.#answered.has(sequence)) lost.push(sequence);
    }
    return { sent, lost };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isStopped) {
      this.#isStopped = true;
      this.#child.kill("SIGINT");
    }
    await this.#read;
    await this.#child.status;
  }
}

/** Ends pings and checks that none has lost a packet. */
export async function assertNoneLost(pings: readonly RunningPing[]): Promise<void> {
  for (const ping of pings) {
    const { sent, lost } = await ping.stop();
    assertEquals(lost, [], `lost of ${sent} on the way ${ping.name}`);
  }
}
