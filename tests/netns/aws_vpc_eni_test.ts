import { assert, assertEquals } from "@std/assert";
import { AwsError } from "../double/aws/aws_error.ts";
import { type VpcHost, withVpc } from "../double/aws/vpc_rig.ts";
import { underTraffic, untilAnswered, untilRouted } from "../double/aws/vpc_rig_waits.ts";
import { until } from "../double/overlay_rig.ts";

type Two = readonly [VpcHost, VpcHost];

Deno.test("a secondary network interface carries packets of pods both ways, while the first one drops them", async (t) => {
  await withVpc(async (rig) => {
    const hosts = [await rig.addHost({ subnet: 0 }), await rig.addHost({ subnet: 1 })] as const;
    const enis = [await hosts[0].attach({ subnet: 1 }), await hosts[1].attach({ subnet: 1 })];
    await rig.startAll(hosts);
    const [h1, h2] = hosts;
    await untilRouted(rig, hosts);
    assertEquals(rig.targets(), enis.map(({ id }) => id));
    for (const host of hosts) {
      await host.untilCalm();
      await host.ready();
      assertEquals(host.eni.sourceDestCheck, true);
    }
    await untilAnswered(rig, hosts);

    await t.step("an agent that starts again makes no change, and no packet is lost", async () => {
      rig.writes();
      await underTraffic(h1, h2, async () => {
        await h1.restart();
        await h1.ready();
        await h1.untilCalm();
      });
      assertEquals(rig.writes(), []);
    });

    await t.step("a network interface that is detached and attached again is used again", async () => {
      await h1.detach(enis[0]!);
      await h1.until("cloud-path-missing", "no link of this host has its MAC");
      assertEquals(await rig.answers(h2, h1), false);
      await h1.attach({ subnet: 1, eni: enis[0]! });
      await h1.untilCalm();
      await rig.router.settled();
      await untilAnswered(rig, hosts);
    });

    await t.step("another one in the place of the first gets the route", async () => {
      await h1.detach(enis[0]!);
      await h1.until("cloud-path-missing", "no link of this host has its MAC");
      const other = await h1.attach({ subnet: 0 });
      await until("see the route lead to it", () => rig.targets().includes(other.id) || undefined);
      await h1.untilCalm();
      await rig.router.settled();
      await untilAnswered(rig, hosts);
      enis[0] = other;
    });

    await t.step("its check, when another turns it on, is off when the agent starts again", async () => {
      enis[0]!.sourceDestCheck = true;
      rig.aws.cloud.changed();
      await rig.router.settled();
      assertEquals(await rig.answers(h2, h1), false);
      await h1.restart();
      await until("see the check off", () => !enis[0]!.sourceDestCheck || undefined);
      await rig.router.settled();
      await untilAnswered(rig, hosts);
    });
  }, { ENI: "device-index=1" });
});

Deno.test("a managed network interface is made, attached, configured and used, and found again", async (t) => {
  await withVpc(async (rig) => {
    rig.moreFlags.push("-ip-masq");
    const hosts = await rig.addHosts(2);
    const [h1, h2] = hosts as readonly VpcHost[] as Two;
    await untilRouted(rig, hosts);
    for (const host of hosts) {
      await host.untilCalm();
      await host.ready();
      assertEquals(host.eni.sourceDestCheck, true);
    }
    const made = rig.aws.cloud.interfacesOf(h1.instanceId)[1]!;
    assert(rig.targets().includes(made.id));
    assert(made.attachment!.deleteOnTermination);
    await untilAnswered(rig, hosts);

    await t.step("an agent that starts again makes no change, and no packet is lost", async () => {
      rig.writes();
      await underTraffic(h1, h2, async () => {
        await h1.restart();
        await h1.ready();
        await h1.untilCalm();
      });
      assertEquals(rig.writes(), []);
    });

    await t.step("one that is detached is attached again at once", async () => {
      await h1.detach(made);
      await until("see it attached", () => made.attachment !== undefined || undefined);
      await h1.untilCalm();
      await rig.router.settled();
      await untilAnswered(rig, hosts);
    });

    await t.step("one that can't be attached is deleted again, and the host is not ready", async () => {
      rig.aws.control.fail(new AwsError("AttachmentLimitExceeded", "Interface count 4 exceeds the limit."), {
        action: "AttachNetworkInterface",
        times: 999,
      });
      const h3 = await rig.addHost({ subnet: 0 });
      await h3.start();
      await h3.until("cloud-route-missing", "AttachmentLimitExceeded");
      assertEquals(await h3.isReady(), false);
      const left = () =>
        [...rig.aws.cloud.interfaces.values()].filter(({ attachment }) => attachment === undefined);
      await until("see it deleted", () => left().length === 0 || undefined);
      rig.aws.control.heal();
      await h3.ready();
      await h3.lab.makePod();
      await rig.router.settled();
      await untilAnswered(rig, rig.hosts);
    });
  }, { ENI: "managed" });
});
