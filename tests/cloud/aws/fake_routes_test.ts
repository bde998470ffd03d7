import { assertEquals, assertThrows } from "@std/assert";
import { AwsError } from "../../double/aws/aws_error.ts";
import { Query } from "../../double/aws/query.ts";
import { createRoute, deleteRoute, describedRoutes, replaceRoute, waysOf } from "../../double/aws/routes.ts";
import { openSmallCloud } from "../../double/aws/small_cloud.ts";

const query = (parameters: Record<string, string>) => new Query(Object.entries(parameters));

/** Asserts that `action` is refused with this code. */
function assertRefused(action: () => unknown, code: string, message = ""): void {
  assertEquals(assertThrows(action, AwsError, message).code, code);
}

Deno.test("a route is a black hole while its ENI can't be reached, and only then", async () => {
  await using small = openSmallCloud(2);
  const { aws: { cloud }, table, subnets, hosts } = small;
  const { instance, eni } = hosts[1]!;
  const stateNow = () =>
    waysOf(cloud, subnets[0].id).find(({ destination }) => destination === "10.1.0.0/24")?.state;
  cloud.putRoute(table.id, "10.1.0.0/24", eni.id);
  assertEquals(stateNow(), "active");
  const states = ["stopping", "stopped", "running"] as const;
  const seen = states.map((state) => {
    cloud.setState(instance.id, state);
    return stateNow();
  });
  assertEquals(seen, ["active", "blackhole", "active"]);
  cloud.setState(instance.id, "terminated");
  assertEquals([stateNow(), cloud.interfaces.has(eni.id)], ["blackhole", false]);
});

Deno.test("a route to an ENI that is plugged in nowhere is a black hole", async () => {
  await using small = openSmallCloud(0);
  const { aws: { cloud }, table, subnets } = small;
  cloud.putRoute(table.id, "10.1.0.0/24", cloud.addInterface(subnets[0].id).id);
  assertEquals(waysOf(cloud, subnets[0].id).at(-1)?.state, "blackhole");
});

Deno.test("the quota of a table counts each family by itself, and no local route", async () => {
  await using small = openSmallCloud(1);
  const { aws: { cloud }, table, hosts } = small;
  cloud.settings.routesPerTable = 2;
  const target = { RouteTableId: table.id, NetworkInterfaceId: hosts[0]!.eni.id };
  const ipv4 = (at: number) => query({ ...target, DestinationCidrBlock: `10.${at}.0.0/24` });
  const ipv6 = (at: number) => query({ ...target, DestinationIpv6CidrBlock: `fd00:${at}::/64` });
  for (const at of [1, 2]) {
    assertEquals([createRoute(cloud, ipv4(at)), createRoute(cloud, ipv6(at))], [true, true]);
  }
  assertRefused(() => createRoute(cloud, ipv4(3)), "RouteLimitExceeded");
  assertRefused(() => createRoute(cloud, ipv6(3)), "RouteLimitExceeded");
  assertRefused(
    () => createRoute(cloud, ipv4(1)),
    "RouteAlreadyExists",
    "The route identified by 10.1.0.0/24",
  );
});

Deno.test("CreateRoute clears host bits; what names a route later must name it exactly", async () => {
  await using small = openSmallCloud(1);
  const { aws: { cloud }, table, hosts } = small;
  const target = { RouteTableId: table.id, NetworkInterfaceId: hosts[0]!.eni.id };
  const loose = query({ ...target, DestinationCidrBlock: "10.1.0.9/24" });
  createRoute(cloud, loose);
  assertEquals(table.routes.at(-1)?.destination, "10.1.0.0/24");
  assertRefused(() => createRoute(cloud, loose), "RouteAlreadyExists");
  assertRefused(() => replaceRoute(cloud, loose), "InvalidParameterValue", "There is no route defined for");
  assertRefused(
    () => deleteRoute(cloud, loose),
    "InvalidRoute.NotFound",
    "no route with destination-cidr-block",
  );
});

Deno.test("the local route can't be deleted, and what lies in the VPC only be sent as a whole subnet", async () => {
  await using small = openSmallCloud(1);
  const { aws: { cloud }, table, hosts } = small;
  const target = { RouteTableId: table.id, NetworkInterfaceId: hosts[0]!.eni.id };
  const to = (DestinationCidrBlock: string) => query({ ...target, DestinationCidrBlock });
  assertRefused(
    () => deleteRoute(cloud, to("172.20.0.0/16")),
    "InvalidParameterValue",
    "cannot remove local route",
  );
  assertRefused(() => createRoute(cloud, to("172.20.0.0/16")), "RouteAlreadyExists");
  assertRefused(() => createRoute(cloud, to("172.20.0.128/25")), "InvalidParameterValue");
  assertEquals(createRoute(cloud, to("172.20.1.0/24")), true);
});

Deno.test("what was written is described some looks later, if the cloud is slow", async () => {
  await using small = openSmallCloud(2);
  const { aws: { cloud }, table, hosts } = small;
  const write = (at: number) =>
    query({
      RouteTableId: table.id,
      DestinationCidrBlock: "10.1.0.0/24",
      NetworkInterfaceId: hosts[at]!.eni.id,
    });
  const seen = () =>
    describedRoutes(table).filter(({ origin }) => origin === "CreateRoute").map(({ target }) => target);
  cloud.settings.staleLooks = 2;
  createRoute(cloud, write(0));
  assertEquals([seen(), seen(), seen()], [[], [], [hosts[0]!.eni.id]]);
  replaceRoute(cloud, write(1));
  assertEquals([seen(), seen(), seen()], [[hosts[0]!.eni.id], [hosts[0]!.eni.id], [hosts[1]!.eni.id]]);
});

Deno.test("each change of the cloud is told, until nobody wants to hear of it", async () => {
  await using small = openSmallCloud(1);
  const { aws: { cloud }, table, hosts } = small;
  let told = 0;
  const end = cloud.onChange(() => told++);
  cloud.putRoute(table.id, "10.1.0.0/24", hosts[0]!.eni.id);
  cloud.setState(hosts[0]!.instance.id, "stopped");
  assertEquals(told, 2);
  end();
  cloud.putRoute(table.id, "10.1.0.0/24", undefined);
  assertEquals(told, 2);
});
