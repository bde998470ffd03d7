import { assertEquals } from "@std/assert";
import { SelfReport } from "../../src/agent/self_report.ts";
import type { Log } from "../../src/log/log.ts";
import { READY } from "../status/facts.ts";

function reportOf() {
  const said: string[] = [];
  const log: Log = {
    write: (_, event, fields) => void said.push(`${event} ${fields?.code}`),
  };
  const totals = { passes: 0, planned: 0, failed: 0, lostLogLines: 0 };
  return { report: new SelfReport({ registryName: "etcd /net", totals, log }), said };
}

const codes = (report: SelfReport) => report.current.conditions().map(({ code }) => code);

Deno.test("SelfReport says what the agent waits for, and what is to be known of the process", () => {
  const { report, said } = reportOf();
  assertEquals(codes(report), ["agent-starting"]);
  report.addSource(() => [{ code: "health-port-taken", sentence: "the port is taken" }]);
  report.waiting({ code: "underlay-missing", sentence: "no link fits" });
  assertEquals(codes(report), ["underlay-missing", "health-port-taken"]);
  assertEquals(report.current.registry(), {
    name: "etcd /net",
    heardAtMs: undefined,
    reason: "no link fits",
  });
  assertEquals(said, [
    "condition set agent-starting",
    "condition cleared agent-starting",
    "condition set underlay-missing",
    "condition set health-port-taken",
  ]);
});

Deno.test("SelfReport lets a member speak, and takes the word back when it is none any more", () => {
  const { report } = reportOf();
  report.speakFor({ ...READY, conditions: () => [{ code: "host-cut-off", sentence: "b has no way" }] });
  assertEquals([codes(report), report.facts.ownLease()?.host], [["host-cut-off"], "192.0.2.1"]);
  report.speakFor();
  assertEquals([codes(report), report.facts.ownLease()], [["agent-starting"], undefined]);
});
