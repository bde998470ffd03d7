import { assertEquals } from "@std/assert";
import { STAGE_PLANS } from "../../../src/agent/plan/stage_plans.ts";
import { passStages, type StageParts } from "../../../src/agent/stages.ts";

/** What an agent does once at its start, and beside its passes, that is planned too. */
const BESIDE = ["network managers", "rules", "leftovers"];

Deno.test("each stage of a pass has its plan, or says why there is none, in the order of the pass", () => {
  // The list is made of its parts, and none of them is used before a stage is run.
  const parts = {
    ...{ context: { place: {} }, known: {}, underlayParts: {}, leaseParts: {} },
  } as unknown as StageParts;
  const stages = passStages(parts).map(({ name }) => name);
  assertEquals(Object.keys(STAGE_PLANS).filter((name) => !BESIDE.includes(name)), stages);
  assertEquals(BESIDE.filter((name) => STAGE_PLANS[name] === undefined), []);
});
