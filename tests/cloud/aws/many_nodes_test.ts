import { assert, assertEquals, assertLess } from "@std/assert";
import { SEED } from "../../double/random.ts";
import { startNodes } from "./many_nodes.ts";

/** One each: what a node whose route is not there yet has to ask for at least. */
const onceEach = (nodes: number) => ({
  CreateRoute: nodes,

  DescribeRouteTables: nodes,
  ModifyNetworkInterfaceAttribute: nodes,
});

Deno.test("fifty nodes that start together ask for a look, a route and an attribute each, and are done at once", async () => {
  const start = await startNodes(50, { isThrottled: false, seed: SEED });
  assertEquals(start, {
    ...{ convergedMs: 0, failedTurns: 0, conditions: [], throttled: {} },
    done: onceEach(50),
  });
});

Deno.test("nodes that EC2 throttles when they start together are done when its buckets have filled, without a failure", async () => {
  const nodes = 150;
  const { convergedMs, done, failedTurns, conditions, throttled } = await startNodes(nodes, {
    isThrottled: true,
    seed: SEED,
  });
  // Fifty calls at once, and five more each second.
  const leastMs = (nodes - 50) / 5 * 1000;
  const why = `LODEN_SEED=${SEED}: ${convergedMs} ms`;
  assertEquals([failedTurns, conditions, done], [0, [], onceEach(nodes)], why);
  assert((throttled["CreateRoute"] ?? 0) > 0, why);
  assert(convergedMs >= leastMs - 1, why);
  assertLess(convergedMs, 3 * leastMs, why);
});
