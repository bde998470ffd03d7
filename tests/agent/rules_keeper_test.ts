import { assertEquals } from "@std/assert";
import { RulesKeeper } from "../../src/agent/rules_keeper.ts";
import { wishesOf } from "../../src/agent/open_rules.ts";
import type { RuleWishes } from "../../src/firewall/rules.ts";
import { formatPrefix, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";

const WISHES: RuleWishes = {
  families: [],
  isMasquerading: true,
  isFullyRandom: true,
  isForwarding: true,
  excluded: [],
};

/** A keeper whose looks are scripted: each entry is what fails in one look. */
function world(script: string[][], wishes: () => RuleWishes | undefined = () => WISHES) {
  const controller = new AbortController();
  let looks = 0;
  const keeper: RulesKeeper = new RulesKeeper({
    keep: () => {
      const failures = script[looks++] ?? [];
      if (looks >= script.length) controller.abort();
      return { changed: 1, failures, warnings: ["a chain drops"], effective: ["masqueraded"], met: [] };
    },
    keepLegacy: () => Promise.resolve({ failures: [], warnings: ["legacy iptables drops"] }),
    wishes,
    elapsedMs: () => performance.now(),
  });
  const run = () => keeper.run({ resyncMs: 60_000, signal: controller.signal });
  return { keeper, run, controller, looks: () => looks };
}

Deno.test("RulesKeeper touches nothing while this host has no subnet", async () => {
  const { keeper, run, controller, looks } = world([], () => {
    controller.abort();
    return undefined;
  });
  await run();
  assertEquals([looks(), keeper.facts], [0, undefined]);
});

Deno.test("RulesKeeper looks again soon after a failure", async () => {
  const { keeper, run, looks } = world([["no table"], ["no table"], []]);
  await run();
  assertEquals(looks(), 3);
  assertEquals(keeper.facts, {
    changes: 3,
    isMasquerading: true,
    effective: ["masqueraded"],
    failures: [],
    warnings: ["a chain drops", "legacy iptables drops"],
  });
});

Deno.test("RulesKeeper looks again when it is nudged", async () => {
  const { keeper, run, looks } = world([[], []]);
  const running = run();
  while (keeper.facts === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals(looks(), 1);
  keeper.nudge();
  await running;
  assertEquals(looks(), 2);
});

Deno.test("RulesKeeper says which chains may refuse what is forwarded only while nobody knows whether they do", async () => {
  const controller = new AbortController();
  let isForwardKnown = true;
  const report = { changed: 0, failures: [], warnings: ["asleep"], effective: [], met: [] };
  const looked: number[] = [];
  const keeper: RulesKeeper = new RulesKeeper({
    keep: () => ({ ...report, doubted: ["has policy drop"] }),
    keepLegacy: () => Promise.resolve({ failures: [], warnings: [] }),
    wishes: () => WISHES,
    looked: () => {
      looked.push(keeper.facts!.warnings.length);
      controller.abort();
    },
    isForwardKnown: () => isForwardKnown,
    elapsedMs: () => performance.now(),
  });
  await keeper.run({ resyncMs: 60_000, signal: controller.signal });
  assertEquals(looked, [1]);
  assertEquals(keeper.facts?.warnings, ["asleep"]);
  isForwardKnown = false;
  assertEquals(keeper.facts?.warnings, ["has policy drop", "asleep"]);
});

Deno.test("wishesOf() is one object while the own subnets are the same, with the families that are held", () => {
  const lease = (...subnets: string[]): Lease => ({
    host: "a",
    backendType: "vxlan",
    parts: subnets.map((subnet) => ({
      subnet: parsePrefix(subnet),
      underlayAddress: parseAddress("192.0.2.1"),
      backendData: null,
    })),
  });
  const before = parsePrefix("10.1.0.0/16");
  const families = [["10.244.0.0/16", 2], ["fd00:10:244::/56", 10]].map(([network, family]) => ({
    network: parsePrefix(network as string),
    family,
  }));
  let own: Lease | undefined;
  const wishes = wishesOf(
    {
      options: { masquerade: true, isFullyRandom: false, forwardRules: true },
      config: { families, masqueradeExclude: [parsePrefix("192.0.2.0/24")] },
      former: { former: [before], rulesKept: () => {} },
      own: () => own,
    } as unknown as Parameters<typeof wishesOf>[0],
  );
  assertEquals(wishes(), undefined);
  own = lease("10.244.1.0/24");
  const first = wishes();
  assertEquals(first?.families.map(({ network, subnet }) => [network, subnet].map(formatPrefix)), [
    ["10.244.0.0/16", "10.244.1.0/24"],
  ]);
  assertEquals([first?.isMasquerading, first?.isFullyRandom, first?.isForwarding], [true, false, true]);
  assertEquals(first?.excluded.map(formatPrefix), ["192.0.2.0/24"]);
  assertEquals(
    first?.former?.map(formatPrefix),
    ["10.1.0.0/16", "fd00:10:244::/56"],
    "and what has no subnet",
  );
  own = lease("10.244.1.0/24");
  assertEquals(wishes() === first, true, "the same subnets");
  own = lease("10.244.1.0/24", "fd00:10:244:1::/64");
  assertEquals(wishes()?.families.length, 2);
  assertEquals(wishes()?.former, [before]);
});
