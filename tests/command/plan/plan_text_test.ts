import { assertEquals } from "@std/assert";
import { planText } from "../../../src/command/plan/plan_text.ts";
import type { HostPlan } from "../../../src/model/host_plan.ts";

Deno.test("planText() says nothing of a host that is as it must be", () => {
  assertEquals([...planText({ source: "the agent", stages: [], notes: [] })], []);
});

Deno.test("planText() says stages in their order, what is left out, and what is not known", () => {
  const plan: HostPlan = {
    source: "the agent",
    stages: [
      {
        stage: "host settings",
        changes: [{ kind: "setting", object: "setting net.ipv4.ip_forward", was: "0", becomes: "1" }],
        total: 1,
        notes: [],
      },
      {
        stage: "links and tables",
        changes: [{ kind: "route", object: "route 10.244.3.0/24 metric 4", becomes: "dev flannel.1" }],
        total: 19_901,
        notes: ["h3: its subnet is another host's"],
      },
      { stage: "cloud", changes: [], total: 0, notes: [], unseen: "the cloud is not asked" },
    ],
    notes: ["cni0 is fought for"],
  };
  assertEquals([...planText(plan)], [
    "host settings",
    "  ~ setting net.ipv4.ip_forward 0 -> 1",
    "links and tables",
    "  + route 10.244.3.0/24 metric 4 dev flannel.1",
    "  and 19,900 more; --all lists them",
    "  note: h3: its subnet is another host's",
    "cloud",
    "  not looked at: the cloud is not asked",
    "notes",
    "  cni0 is fought for",
  ]);
});
