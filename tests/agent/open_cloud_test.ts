import { assert, assertEquals } from "@std/assert";
import { openCloud } from "../../src/agent/open_cloud.ts";
import type { UnderlayFollower } from "../../src/agent/underlay_follower.ts";
import type { PassReport } from "../../src/reconcile/report.ts";
import { parseAddress } from "../../src/model/address.ts";
import { awsConfig, AwsRig, desiredOf } from "../cloud/aws/aws_rig.ts";
import { setVariables } from "../double/aws/process_env.ts";
import { RecordedLog } from "../double/recorded_log.ts";

const DEADLINE_MS = 20_000;

/** Waits until something is so. */
async function until(isSo: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + DEADLINE_MS;
  while (!isSo()) {
    assert(performance.now() < endMs, `${what} within ${DEADLINE_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const underlayOf = (address: string) =>
  ({ usable: { addresses: [{ address: parseAddress(address) }] } }) as unknown as UnderlayFollower;

const passOf = (...own: string[]) =>
  ({ cloud: desiredOf({ own }), isRemembered: false }) as unknown as PassReport;

Deno.test("openCloud() opens none for a backend that has none, and loads nothing of it", async () => {
  const deps = {
    environment: {},
    elapsedMs: () => 0,
    log: new RecordedLog(),
    underlay: underlayOf("10.0.0.4"),
    pathChanged: () => {},
    isLinkMissing: () => false,
  };
  assertEquals(await openCloud({ type: "host-gw", mtuBytes: undefined }, deps), undefined);
});

Deno.test("a cloud is looked at after a pass, after one that wants other routes, and soon after a failure; then left alone", async () => {
  await using rig = new AwsRig();
  const { cloud: model, identities, control } = rig.aws;
  const { instance, eni } = model.runInstance(rig.subnetIds[0], { role: "node" });
  (eni as { tags: unknown }).tags = { "flannel.io/cluster": "blue" };
  const environment = {
    ...rig.aws.env(identities.issue("node", instance.id, 3600)),
    AWS_EC2_METADATA_SERVICE_ENDPOINT: rig.aws.openImds(instance.id).url,
    AWS_MAX_ATTEMPTS: "1",
  };
  using _variables = setVariables(environment);
  const log = new RecordedLog();
  let paths = 0;
  const opened = await openCloud(awsConfig(), {
    ...{ environment, log, underlay: underlayOf(eni.addresses[0]!) },
    elapsedMs: () => performance.now(),
    pathChanged: () => void paths++,
    isLinkMissing: () => false,
  });
  assert(opened !== undefined);
  const end = new AbortController();
  const running = opened.run(end);
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    end.abort();
    await running;
  });
  assertEquals(opened.cloud.conditions, [], "nothing is wanted yet");

  opened.passed(passOf("10.244.1.0/24"));
  assertEquals(
    opened.cloud.conditions.map(({ code }) => code),
    ["cloud-route-missing"],
    "until it was looked at",
  );
  await until(() => rig.routes().includes(`10.244.1.0/24 ${eni.id}`), "the route is made");
  await until(() => opened.cloud.report !== undefined, "the look is told");
  await until(() => paths > 0, "the look is over");
  assertEquals(opened.cloud.conditions, []);
  assertEquals(
    [opened.cloud.path, paths],
    ["none", 1],
    "packets come in by the underlay's, and that is told once",
  );
  assertEquals(
    [opened.cloud.report?.interfaceId, opened.cloud.report?.tables],
    [eni.id, [{ id: rig.tableId, routes: 2 }]],
  );

  rig.calls();
  opened.passed(passOf("10.244.1.0/24"));
  control.fail("html 500", { action: "DescribeRouteTables", times: 1 });
  opened.passed(passOf("10.244.2.0/24"));
  await until(() => opened.cloud.conditions.length > 0, "the failure is told");
  await until(() => rig.routes().join() === `10.244.2.0/24 ${eni.id}`, "the route is made after it");
  await until(() => opened.cloud.conditions.length === 0, "the failure is over");
  assertEquals(rig.calls(), { CreateRoute: 1, DeleteRoute: 1, DescribeRouteTables: 2 });

  opened.passed(passOf("10.244.2.0/24"));
  opened.passed({} as PassReport);
  assertEquals(paths, 1);
  end.abort();
  await running;
  assertEquals(rig.calls(), {}, "what is wanted already is no reason for a call");
});
