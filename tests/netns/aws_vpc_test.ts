import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { AwsError } from "../double/aws/aws_error.ts";
import { ROLE, type VpcHost, type VpcRig, withVpc } from "../double/aws/vpc_rig.ts";
import { underTraffic, untilAnswered, untilRouted } from "../double/aws/vpc_rig_waits.ts";
import { until } from "../double/overlay_rig.ts";
import { ETCD_PREFIX } from "../double/overlay_servers.ts";

type Three = readonly [VpcHost, VpcHost, VpcHost];

/** Starts hosts, and waits until their pods answer each other. */
async function settle(rig: VpcRig, count: number): Promise<Three> {
  const hosts = await rig.addHosts(count);
  for (const host of hosts) await host.ready();
  await rig.router.settled();
  assertEquals(rig.routes(), rig.routesOf(hosts));
  await untilAnswered(rig, hosts);
  return hosts as readonly VpcHost[] as Three;
}

Deno.test("pods of hosts in a VPC answer each other, and agents that start again write nothing and lose nothing", async (t) => {
  await withVpc(async (rig) => {
    const hosts = await settle(rig, 3);
    const [h1, h2, h3] = hosts;
    rig.writes();

    await t.step("an agent that starts again makes no change, and no packet is lost", async () => {
      await underTraffic(h1, h2, async () => {
        await h1.restart();
        await h1.ready();
        await h1.untilCalm();
      });
      assertEquals(rig.writes(), []);
    });

    await t.step("a route that an operator deletes is made again at the next look", async () => {
      for (const subnet of h1.subnets) rig.aws.cloud.putRoute(rig.tableId, subnet, undefined);
      await rig.router.settled();
      assertEquals(await rig.answers(h2, h1), false);
      await h1.nudge();
      await untilRouted(rig, hosts);
      await untilAnswered(rig, hosts);
    });

    await t.step("a route that leads to another host is replaced when the agent starts again", async () => {
      for (const subnet of h1.subnets) rig.aws.cloud.putRoute(rig.tableId, subnet, h3.eni.id);
      await rig.router.settled();
      assertEquals(await rig.answers(h2, h1), false);
      rig.writes();
      await h1.restart();
      await untilRouted(rig, hosts);
      assertEquals(rig.writes(), ["ReplaceRoute", "ReplaceRoute"]);
      await untilAnswered(rig, hosts);
    });

    await t.step("a check that another turns on again is off when the agent starts again", async () => {
      h1.eni.sourceDestCheck = true;
      rig.aws.cloud.changed();
      await rig.router.settled();
      assertEquals([await rig.answers(h2, h1), await rig.answers(h1, h2)], [false, false]);
      await h1.restart();
      await until("see the check off", () => !h1.eni.sourceDestCheck || undefined);
      await rig.router.settled();
      await untilAnswered(rig, hosts);
    });

    await t.step("EC2 that throttles delays a route that is missing, and costs no other packet", async () => {
      rig.aws.control.fail("throttle", { caller: h1.instanceId, action: "Describe*", times: 2 });
      rig.aws.cloud.putRoute(rig.tableId, h1.subnets[0]!, undefined);
      await underTraffic(h2, h3, async () => {
        await h1.nudge();
        await untilRouted(rig, hosts);
      });
      rig.aws.control.heal();
    });

    await t.step(
      "the route of an instance that ended is deleted by another once its lease is gone",
      async () => {
        await rig.terminate(h3);
        const left = rig.routes().filter((route) => route.endsWith(h3.eni.id));
        assertEquals(left.length, 2);
        const shown = await rig.router.netns.mustExec("ip", "route", "show", "table", "1000");
        assertStringIncludes(shown, `blackhole ${h3.subnets[0]}`);
        await h1.restart();
        await h1.ready();
        await h1.nudge();
        await h1.until("cloud-peers-missing", h3.subnets[0]!);
        assertEquals(rig.routes().filter((route) => route.endsWith(h3.eni.id)), left);
        await rig.forget(h3);
        await h1.restart();
        await untilRouted(rig, [h1, h2]);
        assertEquals(
          (await rig.router.netns.mustExec("ip", "route", "show", "table", "1000")).includes("blackhole"),
          false,
        );
      },
    );
  });
});

Deno.test("while EC2 or the metadata service is away, nothing is lost and the host stays ready, and says so", async (t) => {
  await withVpc(async (rig) => {
    const [h1, h2] = await settle(rig, 2);
    const { control } = rig.aws;
    const ofH1 = { caller: h1.instanceId, action: "DescribeRouteTables", times: 99 };
    const cases: [name: string, break_: () => void, says: string][] = [
      [
        "errors",
        () => control.fail("html 500", ofH1),
        "has status 500",
      ],
      [
        "credentials that have expired",
        () => control.fail(new AwsError("RequestExpired", "Request has expired."), ofH1),
        "RequestExpired",
      ],
      [
        "a policy that was revoked",
        () => rig.aws.identities.setPolicies(ROLE, []),
        "the role of this host may not ec2:DescribeRouteTables",
      ],
      [
        "a metadata service that is silent",
        () => control.fail("silence", { ...ofH1, action: "GET /latest/meta-data/instance-id" }),
        "the instance metadata service does not answer",
      ],
    ];
    await t.step(
      "an agent that starts meanwhile is not ready until it has looked, and nothing is lost",
      async () => {
        await underTraffic(h1, h2, async () => {
          control.fail("html 500", ofH1);
          await h1.restart();
          await h1.until("cloud-route-missing", "it is not known whether packets for");
          await h1.until("cloud-route-missing", "has status 500");
          assertEquals(await h1.isReady(), false);
          control.heal();
          await h1.ready();
        });
      },
    );

    await underTraffic(h1, h2, async () => {
      // It takes its time, which that of the others is.
      const isOfH2 = { caller: h2.instanceId, action: "Describe*", times: 999 };
      control.fail("silence", isOfH2);
      await h2.nudge();
      for (const [name, spoil, says] of cases) {
        await t.step(name, async () => {
          spoil();
          await h1.nudge();
          await h1.until("cloud-not-answering", says);
          assert(await h1.isReady());
          control.heal();
          control.fail("silence", isOfH2);
          rig.aws.identities.setPolicies(ROLE, [rig.policy()]);
          await h1.untilCalm();
        });
      }
      await t.step("a server that is silent", async () => {
        await h2.until("cloud-not-answering", "nothing within 20 s");
        assert(await h2.isReady());
      });
    });
  });
});

Deno.test("a host that may not turn its check off is not ready, and nothing passes until it is off", async () => {
  await withVpc(async (rig) => {
    rig.aws.identities.setPolicies(ROLE, [rig.policy({ SourceDestCheck: "keep" })]);
    const hosts = await rig.addHosts(2);
    const [h1, h2] = hosts as [VpcHost, VpcHost];
    for (const host of hosts) {
      await host.until("cloud-check-on", "ec2:ModifyNetworkInterfaceAttribute");
      assertEquals(await host.isReady(), false);
    }
    await untilRouted(rig, hosts);
    assertEquals([await rig.answers(h1, h2), await rig.answers(h2, h1)], [false, false]);
    rig.aws.identities.setPolicies(ROLE, [rig.policy()]);
    for (const host of hosts) await host.ready();
    await rig.router.settled();
    await untilAnswered(rig, hosts);
  });
});

Deno.test("a host that gets another subnet has its route moved, and leaves the former one to who has that subnet", async () => {
  await withVpc(async (rig) => {
    const hosts = await settle(rig, 2);
    const [h1] = hosts;
    const former = h1.subnets;
    await h1.lab.stopAgent();
    await rig.forget(h1);
    await h1.forget();
    // The choice begins at the same subnet: it must not be free.
    const key = former.map((subnet) => subnet.replace("/", "-")).join("&");
    await rig.etcd.put(
      `${ETCD_PREFIX}/subnets/${key}`,
      JSON.stringify({ PublicIP: "10.0.1.99", PublicIPv6: "2001:db8:1:1::99" }),
    );
    await h1.start();
    await until("see another subnet", () => h1.subnets.join() !== former.join() || undefined);
    await h1.ready();
    await until("see the new route", () => rig.routes().includes(`${h1.subnets[0]} h1`) || undefined);
    assertEquals(rig.routes().filter((route) => route.endsWith(" h1")).length, 4);
    await rig.etcd.delete(`${ETCD_PREFIX}/subnets/${key}`);
    await h1.restart();
    await untilRouted(rig, hosts);
  });
});
