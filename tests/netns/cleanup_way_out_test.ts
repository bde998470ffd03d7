import { assertEquals } from "@std/assert";
import { planKernel } from "../../src/command/cleanup/cleanup_kernel.ts";
import { VpcWorld } from "../double/vpc_world.ts";

Deno.test("a cleanup removes rules and table, and nothing of others", async () => {
  await using world = await VpcWorld.create();
  await world.attach();
  await world.configure();
  const { host, client } = world;
  world.look();
  await host.ip("rule", "add", "from", "10.244.1.0/24", "lookup", "9000", "priority", "7676");
  await host.ip("route", "add", "10.9.0.0/24", "dev", "eth0", "table", "7676");
  const { steps } = planKernel(client);
  for (const step of steps.filter(({ object }) => !object.startsWith("link "))) await step.run();
  assertEquals(steps.map(({ object }) => object).filter((object) => !object.startsWith("link ")), [
    "rule from 10.244.1.0/24 lookup 7676",
    "rule from fd00:10:244:1::/64 lookup 7676",
    "route 10.0.0.0/16 via 10.0.9.1 in table 7676",
    "route 10.244.0.0/16 via 10.0.9.1 in table 7676",
    "route throw 10.244.1.0/24 in table 7676",
    "route 2001:db8::/32 via fe80:ec2::1 in table 7676",
    "route throw fd00:10:244:1::/64 in table 7676",
    "route fd00:10:244::/48 via fe80:ec2::1 in table 7676",
  ]);
  assertEquals(await world.shown(), [
    "7676: from 10.244.1.0/24 lookup 9000",
    "10.9.0.0/24 dev eth0 scope link",
  ]);
});
