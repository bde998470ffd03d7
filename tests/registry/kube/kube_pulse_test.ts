import { assert, assertEquals, assertMatch } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { ConnectionError } from "../../../src/registry/http/connection_error.ts";
import { KubeError } from "../../../src/registry/kube/kube_client.ts";
import { Pulse, WentBackError } from "../../../src/registry/kube/kube_pulse.ts";

/** A watch that is at version 40 and tells nothing, looked after in a time of its own. */
class QuietWatch implements Disposable {
  readonly time = new FakeTime();
  readonly asked: number[] = [];
  readonly #controller = new AbortController();
  readonly pulse: Pulse;
  readonly running: Promise<void>;
  witness: { name: string; version: string } | undefined;
  known: number | undefined;
  proofs = 0;
  refusals = 0;
  error: unknown;

  constructor(answer: () => unknown, { isFresh = true } = {}) {
    this.pulse = new Pulse({
      request: () => {
        this.asked.push(this.time.now);
        return Promise.try(answer);
      },
    }, () => this.time.now);
    const watched = {
      position: () => "40",
      witness: () => this.witness,
      versionOf: () => this.known,
      isProved: () => isFresh,
      proved: () => this.proofs++,
      refused: () => this.refusals++,
    };
    this.running = this.pulse.run(watched, this.#controller).catch((error) => void (this.error = error));
  }

  /** Lets so much time pass. */
  async pass(ms: number): Promise<void> {
    for (let leftMs = ms; leftMs > 0; leftMs -= 1000) await this.time.tickAsync(Math.min(leftMs, 1000));
    await this.time.tickAsync();
  }

  [Symbol.dispose](): void {
    this.#controller.abort();
    this.time.restore();
  }
}

const at = (resourceVersion: string) => () => ({ metadata: { resourceVersion } });

Deno.test("a watch that tells nothing for 25 s is looked after, and as long as it tells nothing", async () => {
  using watch = new QuietWatch(at("41"));
  await watch.pass(24_000);
  assertEquals(watch.asked.length, 0);
  watch.pulse.heard();
  await watch.pass(24_000);
  assertEquals(watch.asked.length, 0);
  await watch.pass(2000);
  assertEquals([watch.asked.length, watch.proofs], [1, 1]);
  await watch.pass(60_000);
  assertEquals([watch.asked.length, watch.error], [3, undefined]);
});

Deno.test("a watch that is resumed is proved at once", async () => {
  using watch = new QuietWatch(at("40"), { isFresh: false });
  await watch.pass(1);
  assertEquals([watch.asked.length, watch.proofs], [1, 1]);
});

Deno.test("a server that is behind what it has told is found out", async () => {
  using watch = new QuietWatch(at("39"), { isFresh: false });
  await watch.pass(1);
  assert(watch.error instanceof WentBackError);
  assertMatch(watch.error.message, /^the API server is at version 39, and was at 40: its etcd was restored/);
  assertEquals(watch.proofs, 0);
});

Deno.test("a server that does not answer has lost the watch too, in less than 45 s", async () => {
  using watch = new QuietWatch(() => {
    throw new ConnectionError("the API server said nothing for 10 s");
  });
  await watch.pass(25_000);
  assert(watch.error instanceof ConnectionError);
});

Deno.test("a server that refuses to tell is alive, and proves nothing", async () => {
  using watch = new QuietWatch(() => {
    throw new KubeError(429, "not now");
  }, { isFresh: false });
  await watch.pass(20_500);
  assertEquals([watch.refusals, watch.proofs, watch.error], [5, 0, undefined]);
});

Deno.test("doubts are looked into, many as one", async () => {
  using watch = new QuietWatch(at("41"));
  await watch.pass(10_000);
  for (let n = 0; n < 20; n++) {
    watch.pulse.heard();
    watch.pulse.doubt();
    await watch.pass(400);
  }
  assertEquals(watch.asked.length, 2, "one each 5 s");
});

const node = (...versions: string[]) => () => ({
  metadata: { resourceVersion: "50" },
  items: versions.map((resourceVersion) => ({ metadata: { resourceVersion } })),
});

const testimonies: [
  what: string,
  versions: string[],
  toldMeanwhile: number | undefined,
  isBelieved: boolean,
][] = [
  ["is as it is known", ["38"], 38, true],
  ["is older than it was", ["37"], 38, false],
  ["is newer, and the watch tells so", ["45"], 45, true],
  ["is newer, and the watch tells nothing", ["45"], 38, false],
  ["is gone, and the watch tells so", [], undefined, true],
  ["is gone, and the watch tells nothing", [], 38, false],
];

for (const [what, versions, toldMeanwhile, isBelieved] of testimonies) {
  Deno.test(`a server that is past the position is ${isBelieved ? "" : "not "}believed when a node ${what}`, async () => {
    using watch = new QuietWatch(node(...versions));
    watch.witness = { name: "n7", version: "38" };
    watch.known = 38;
    await watch.pass(26_000);
    watch.known = toldMeanwhile;
    await watch.pass(isBelieved ? 2000 : 31_000);
    assertEquals([watch.proofs > 0, watch.error === undefined], [isBelieved, isBelieved]);
  });
}
