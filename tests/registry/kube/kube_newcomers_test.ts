import { assertEquals, assertMatch } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { KubeError } from "../../../src/registry/kube/kube_client.ts";
import { Newcomers } from "../../../src/registry/kube/kube_newcomers.ts";
import { KEYS, memberNode } from "./servers.ts";

/** Newcomers of a server that answers as it is told to, in a time of their own. */
class Arrivals implements Disposable {
  readonly time = new FakeTime();
  readonly asked: string[] = [];
  readonly said: string[] = [];
  readonly failures: string[] = [];
  underWay = 0;
  mostUnderWay = 0;
  readonly newcomers: Newcomers;
  readonly #controller = new AbortController();
  readonly running: Promise<void>;

  constructor(answer: (name: string) => unknown, { count = 0 } = {}) {
    const request = async (path: string) => {
      const [, name, version] = /nodes\/(\w+)\?resourceVersion=(\d+)$/.exec(path)!;
      this.asked.push(`${name} ${version}`);
      this.mostUnderWay = Math.max(this.mostUnderWay, ++this.underWay);
      await new Promise((resolve) => setTimeout(resolve, 100));
      this.underWay--;
      return answer(name!);
    };
    this.newcomers = new Newcomers({ request }, {
      keys: KEYS,
      random: () => 0.5,
      count: () => count,
      isOwn: (name) => name === "own",
      elapsedMs: () => this.time.now,
      read: ({ metadata: { name }, spec }) => {
        this.said.push(`read ${name}`);
        return spec?.podCIDR !== undefined;
      },
      failed: (name, reason) => void this.failures.push(`${name}: ${reason}`),
      doubt: () => void this.said.push("doubt"),
    });
    this.running = this.newcomers.run(this.#controller);
  }

  /** Lets so much time pass. */
  async pass(ms: number): Promise<void> {
    for (let leftMs = ms; leftMs > 0; leftMs -= 50) await this.time.tickAsync(Math.min(leftMs, 50));
    await this.time.tickAsync();
  }

  [Symbol.dispose](): void {
    this.#controller.abort();
    this.time.restore();
  }
}

const found = (name: string) => memberNode(name, "10.244.2.0/24", "192.0.2.2");

Deno.test("newcomers are read a few at a time, each at the version that told of it", async () => {
  using arrivals = new Arrivals(found);
  for (let n = 0; n < 30; n++) arrivals.newcomers.add(`n${n}`, String(n));
  await arrivals.pass(2000);
  assertEquals([arrivals.said.length, arrivals.mostUnderWay], [30, 4]);
  assertEquals(arrivals.asked[7], "n7 7");
});

Deno.test("where there are many hosts each waits before it reads a newcomer, but for its own node", async () => {
  using arrivals = new Arrivals(found, { count: 5000 });
  arrivals.newcomers.add("n1", "1");
  arrivals.newcomers.add("own", "2");
  await arrivals.pass(900);
  assertEquals(arrivals.asked, ["own 2"]);
  await arrivals.pass(200);
  assertEquals(arrivals.asked, ["own 2", "n1 1"]);
});

Deno.test("a newcomer that can't be read is read again, and keeps no other from being read", async () => {
  let refusals = 5;
  using arrivals = new Arrivals((name) => {
    if (name === "n1" && refusals-- > 0) throw new KubeError(429, "not now");
    return found(name);
  });
  arrivals.newcomers.add("n1", "1");
  arrivals.newcomers.add("n2", "2");
  await arrivals.pass(200);
  assertEquals(arrivals.said, ["read n2"]);
  await arrivals.pass(60_000);
  assertEquals(arrivals.said, ["read n2", "read n1"]);
  assertMatch(arrivals.failures[0]!, /^n1: its node can't be read: .*not now/);
});

Deno.test("newcomers that can't be read, however many, keep no other from being read", async () => {
  using arrivals = new Arrivals((name) => {
    if (name !== "n9") throw new KubeError(500, "not this one");
    return found(name);
  });
  for (let n = 0; n < 9; n++) arrivals.newcomers.add(`n${n}`, "1");
  await arrivals.pass(120_000);
  arrivals.newcomers.add("n9", "1");
  await arrivals.pass(1000);
  assertEquals(arrivals.said, ["read n9"]);
});

Deno.test("a newcomer that is not found is read again, ever more rarely, until the watch says that it is gone", async () => {
  let denials = 3;
  using arrivals = new Arrivals((name) => {
    if (name !== "n2" || denials-- > 0) throw new KubeError(404, "not found");
    return found(name);
  });
  for (const name of ["n1", "n2", "own"]) arrivals.newcomers.add(name, "1");
  await arrivals.pass(20_000);
  assertEquals(arrivals.said, ["read n2"]);
  const askedFor = (name: string) => arrivals.asked.filter((asked) => asked === `${name} 1`).length;
  assertEquals(["n1", "own"].map(askedFor), [5, 5]);
  arrivals.newcomers.forget("n1");
  await arrivals.pass(120_000);
  assertEquals(askedFor("n1"), 5);
});

Deno.test("a server that does not know what it has told is doubted", async () => {
  using arrivals = new Arrivals(() => {
    throw new KubeError(504, "Too large resource version: 9, current: 5");
  });
  arrivals.newcomers.add("n1", "9");
  await arrivals.pass(150);
  assertEquals(arrivals.said, ["doubt"]);
  arrivals.newcomers.clear();
});

Deno.test("a newcomer without a subnet is read ever more rarely, however often it says anything", async () => {
  using arrivals = new Arrivals((name) => ({ metadata: { name }, spec: {} }));
  for (let second = 0; second < 300; second++) {
    arrivals.newcomers.add("n1", String(second));
    await arrivals.pass(1000);
  }
  // After 1, 2, 4 … 60 s.
  assertEquals(arrivals.asked.length, 10);
  arrivals.newcomers.add("own", "9");
  arrivals.newcomers.add("own", "10");
  await arrivals.pass(200);
  assertEquals(arrivals.asked.at(-1), "own 10");
});
