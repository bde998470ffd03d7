import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import fc from "fast-check";
import { UnderlayFollower } from "../../../src/agent/underlay_follower.ts";
import type { AddressMove } from "../../../src/host/address_proof.ts";
import {
  AF_INET,
  AF_INET6,
  type Family,
  formatAddress,
  parsePrefix,
  prefixContains,
} from "../../../src/model/address.ts";
import type { Underlay } from "../../../src/model/underlay.ts";
import { type UnderlayChoice, weighUnderlay } from "../../../src/overlay/underlay/underlay.ts";
import { SEED } from "../../double/random.ts";
import { RecordedLog } from "../../double/recorded_log.ts";
import { anyEvent, anyRepair, ChangingHost, type HostEvent, START } from "./changing_host.ts";

const NETWORKS = ["10.244.0.0/16", "fd00:10:244::/48"].map(parsePrefix);
/** What eth0 has beside addresses with a prefix, and other hosts have at other times. */
const VIPS = ["192.0.2.200", "2001:db8::aaaa"];
const RUNS = 300;
const DEADLINE_MS = 2000;

const flags: [what: string, asked: { iface: string[]; ifaceRegex: string[] }, mustLeadOut: boolean][] = [
  ["no flags", { iface: [], ifaceRegex: [] }, true],
  ["-iface=eth0", { iface: ["eth0"], ifaceRegex: [] }, false],
  ["-iface-regex=^1|^2001", { iface: [], ifaceRegex: ["^1|^2001"] }, false],
  ["-iface=eth0 -iface=eth1", { iface: ["eth0", "eth1"], ifaceRegex: [] }, false],
];
const stacks: [what: string, families: readonly Family[]][] = [
  ["IPv4", [AF_INET]],
  ["IPv6", [AF_INET6]],
  ["both families", [AF_INET, AF_INET6]],
];

const textsOf = ({ addresses }: Underlay) => addresses.map(({ address }) => formatAddress(address));

/** A follower on a host that changes, whose every step is judged. */
class Judged {
  readonly #time: FakeTime;
  readonly host = new ChangingHost();
  #proved: readonly AddressMove[] = [];
  #last: UnderlayChoice | undefined;
  #before!: Underlay;
  readonly #controller = new AbortController();
  #running!: Promise<void>;
  follower!: UnderlayFollower;
  readonly mistakes: string[] = [];

  private constructor(time: FakeTime) {
    this.#time = time;
  }

  static async open(
    time: FakeTime,
    asked: { iface: string[]; ifaceRegex: string[] },
    families: readonly Family[],
  ): Promise<Judged> {
    const judged = new Judged(time);
    const options = { ...asked, families, networks: NETWORKS, vtepNames: ["flannel.1"], bridgeName: "cni0" };
    judged.follower = await UnderlayFollower.open({
      choose: (standing) => {
        judged.#last = undefined;
        return judged.#last = weighUnderlay(judged.host.network, options, standing);
      },
      prove: (moves) => {
        judged.#proved = moves;
        return Promise.resolve("answered");
      },
      changed: () => judged.#judge(),
      elapsedMs: () => 0,
      log: new RecordedLog(),
    }, { waiting: () => {}, maxAgeMs: 30_000, signal: judged.#controller.signal });
    judged.#before = judged.follower.current;
    judged.#running = judged.follower.run(judged.#controller);
    return judged;
  }

  #judge(): void {
    const { current } = this.follower;
    if (["cni0", "flannel.1"].includes(current.linkName)) this.mistakes.push(`${current.linkName} is chosen`);
    for (const { family, address } of current.addresses) {
      if (NETWORKS.some((network) => prefixContains(network, address))) {
        this.mistakes.push(`${formatAddress(address)} is published`);
      }
      if (VIPS.includes(formatAddress(address))) this.mistakes.push(`${formatAddress(address)} is published`);
      const old = this.#before.addresses.find((other) => other.family === family)?.address;
      if (old === undefined || old === address) continue;
      const isWorking = this.host.isWorking(this.#before.linkIndex, formatAddress(old));
      const isProved = this.#proved.some(({ from, to }) => from.address === old && to.address === address);
      if (isWorking && !isProved) {
        this.mistakes.push(
          `${formatAddress(old)} works, and ${formatAddress(address)} takes its place unproved`,
        );
      }
    }
    this.#before = current;
    this.#proved = [];
  }

  /** Lets the follower see what has happened, and prove what it must. */
  async settle(): Promise<void> {
    const endsAt = performance.now() + DEADLINE_MS;
    this.follower.nudge();
    this.follower.follow();
    while (this.#isUndecided()) {
      assert(performance.now() < endsAt, "the follower does not settle");
      await this.#time.nextAsync();
    }
  }

  #isUndecided(): boolean {
    const { underlay, stays } = this.#last ?? {};
    const current = textsOf(this.follower.current);
    // A link-local address takes no other's place.
    const wanted = underlay === undefined
      ? []
      : textsOf(underlay).filter((text) => !text.startsWith("fe80:"));
    return stays !== undefined && !wanted.every((address) => current.includes(address));
  }

  async end(): Promise<void> {
    this.#controller.abort();
    await this.#running.catch(() => {});
  }
}

for (const [what, asked, mustLeadOut] of flags) {
  for (const [stack, families] of stacks) {
    Deno.test(`an underlay of ${stack} with ${what} ends where it started, is never ours, and moves with proof (seed ${SEED})`, async () => {
      using time = new FakeTime();
      let wholeCount = 0;
      const run = async (events: readonly HostEvent[], repair: readonly HostEvent[]) => {
        const judged = await Judged.open(time, asked, families);
        const first = textsOf(judged.follower.current);
        assertEquals(first, families.map((family) => START[family === AF_INET ? 0 : 1].split("/")[0]));
        for (const event of [...events, ...repair]) {
          judged.host.change(event);
          await judged.settle();
        }
        await judged.end();
        assertEquals(judged.mistakes, []);
        if (!judged.host.isWhole(families, mustLeadOut)) return;
        wholeCount++;
        assertEquals([judged.follower.reason, judged.follower.current.linkName], [undefined, "eth0"]);
        assertEquals(textsOf(judged.follower.current), first);
        assertEquals(textsOf(judged.follower.usable), first);
      };
      const property = fc.asyncProperty(fc.array(anyEvent, { maxLength: 25 }), anyRepair, run);
      await fc.assert(property, { seed: SEED, numRuns: RUNS });
      assert(wholeCount > RUNS / 10, `${wholeCount} of ${RUNS} hosts were whole again`);
    });
  }
}
