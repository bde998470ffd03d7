import { assertEquals } from "@std/assert";
import { changeText } from "../../src/model/host_plan.ts";
import { VpcRig } from "../double/aws/vpc_rig.ts";
import { changesIn, planIn, planOn, untilAsked } from "../double/overlay_plan.ts";
import { until } from "../double/overlay_rig.ts";

Deno.test("a plan says the calls to the cloud and the way out of pods that the agent then makes, and makes none of them", async () => {
  await using rig = await VpcRig.open({ ENI: "device-index=1" });
  const host = await rig.addHost();
  const eni = await host.attach({ subnet: 1 });
  await host.start();
  await host.ready();
  await host.untilCalm();
  await untilAsked(host.lab);
  const ask = (...args: string[]) => planOn(host.lab, rig.flags, ...args);
  const { cloud } = rig.aws;
  const { tableId } = rig;
  const settled = await ask();
  assertEquals([settled.code, settled.text], [0, ""], settled.errors);

  const [subnet, ipv6] = host.subnets;
  await host.lab.stopAgent("SIGTERM");
  const alone = await ask();
  assertEquals([alone.code, alone.text], [0, ""], alone.errors);
  const whole = routesOf();
  cloud.putRoute(tableId, subnet!, host.eni.id);
  cloud.putRoute(tableId, ipv6!, undefined);
  await host.lab.netns.mustExec("ip", "rule", "delete", "from", subnet!);
  await host.lab.netns.mustExec("ip", "route", "delete", "10.244.0.0/16", "table", "7676");
  const before = routesOf();
  const answer = await ask("--json");
  assertEquals(routesOf(), before);
  const byStage = planIn(answer).stages.map(({ stage, changes }) => [stage, changes.map(changeText)]);
  assertEquals(byStage, [
    ["way out of pods", [
      `+ route 10.244.0.0/16 via 10.0.2.1 table 7676`,
      `+ rule from ${subnet} lookup 7676`,
    ]],
    ["cloud", [
      `~ cloud route ${subnet} in ${tableId} to another target -> to ${eni.id}`,
      `+ cloud route ${ipv6} in ${tableId} to ${eni.id}`,
      `~ cloud interface ${eni.id} source/destination check on -> off`,
    ]],
  ], answer.errors);
  assertEquals([answer.code, changesIn(planIn(answer)).length], [2, 5]);

  await host.start();
  await host.ready();
  await until("see the routes again", () => routesOf().join() === whole.join() || undefined);
  await host.untilCalm();
  await untilAsked(host.lab);
  const again = await ask();
  assertEquals([again.code, again.text], [0, ""], again.errors);

  function routesOf(): string[] {
    return cloud.routeTables.get(tableId)!.routes.map(({ destination, target }) => `${destination} ${target}`)
      .sort();
  }
});
