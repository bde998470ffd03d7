import { assertEquals } from "@std/assert";
import { SourceCheck } from "../../../src/cloud/aws/source_check.ts";
import { cannedClient, OPTIONS, refusal } from "./canned_client.ts";

const DONE =
  "<ModifyNetworkInterfaceAttributeResponse><return>true</return></ModifyNetworkInterfaceAttributeResponse>";
const HOUR_MS = 3_600_000;

function described(isOn: boolean): string {
  return "<DescribeNetworkInterfacesResponse><networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId>" +
    "<macAddress>02:00:00:00:00:01</macAddress><subnetId>s</subnetId><vpcId>v</vpcId><status>in-use</status>" +
    `<sourceDestCheck>${isOn}</sourceDestCheck></item></networkInterfaceSet></DescribeNetworkInterfacesResponse>`;
}

const NOT_ALLOWED = refusal("UnauthorizedOperation", "You may not.", 403);

/** A check, its clock, and what it asked for: one letter a call, M(odify) or D(escribe). */
function openCheck(...answers: (string | Response)[]) {
  const { client, forms } = cannedClient(...answers);
  const clock = { ms: 0 };
  const check = new SourceCheck(() => clock.ms);
  return {
    ...{ check, clock },
    keep: (isKept = false, eniId = "eni-1", isNew = false) =>
      check.keep(client, { eniId, isKept, isNew }, OPTIONS),
    asked: () => forms.map(([letter]) => letter).join(""),
    said: () => check.conditions.map(({ code, sentence }) => `${code}: ${sentence}`),
  };
}

const ON = "the source/destination check of eni-1 is on, so that it drops packets of pods";

Deno.test("a check is looked at, turned off if it is on, and not looked at again within the hour", async () => {
  for (const [answers, calls] of [[[described(true), DONE], "DM"], [[described(false)], "D"]] as const) {
    const { keep, asked, said, clock } = openCheck(...answers);
    assertEquals([await keep(), await keep()], [true, true]);
    clock.ms = HOUR_MS - 1;
    await keep();
    assertEquals([asked(), said()], [calls, []]);
  }
});

Deno.test("the check of a host that is new is turned off without a look, and looked at if that is not allowed", async () => {
  const cases = [
    [[DONE], "M", []],
    [[NOT_ALLOWED, described(false)], "MD", []],
    [[NOT_ALLOWED, described(true)], "MD", [ON]],
  ] as const;
  for (const [answers, calls, faults] of cases) {
    const { keep, asked, said } = openCheck(...answers);
    assertEquals(await keep(false, "eni-1", true), faults.length === 0);
    assertEquals([asked(), said().length], [calls, faults.length]);
  }
});

Deno.test("after an hour it is looked at, and turned off if another has turned it on", async () => {
  const { keep, asked, clock } = openCheck(described(false), described(false), described(true), DONE);
  await keep();
  clock.ms = HOUR_MS;
  assertEquals(await keep(), true);
  assertEquals(asked(), "DD");
  clock.ms = 2 * HOUR_MS;
  assertEquals(await keep(), true);
  assertEquals(asked(), "DDDM");
});

Deno.test("another interface is looked at at once", async () => {
  const { keep, asked } = openCheck(described(false), described(true), DONE);
  await keep();
  await keep(false, "eni-2");
  assertEquals(asked(), "DDM");
});

Deno.test("one that is to be kept is never turned off, and told while it is on", async () => {
  const { keep, asked, said } = openCheck(described(true), described(true), described(false));
  assertEquals(await keep(true), true, "there is nothing to be done again soon");
  assertEquals(said(), [`cloud-check-on: ${ON}: the configuration says to keep it`]);
  await keep(true);
  await keep(true);
  assertEquals([asked(), said()], ["DDD", []]);
});

Deno.test("one that may not be turned off is told while it is on", async () => {
  const on = openCheck(described(true), NOT_ALLOWED, described(false));
  assertEquals(await on.keep(), false);
  assertEquals(on.said(), [
    `cloud-check-on: ${ON}: the role of this host may not ec2:ModifyNetworkInterfaceAttribute on eni-1: ` +
    "allow it on network-interface/* in its policy " +
    "(ModifyNetworkInterfaceAttribute: UnauthorizedOperation: You may not.)",
  ]);
  assertEquals(await on.keep(), true);
  assertEquals(on.said(), []);
});

Deno.test("one that may not be looked at is turned off all the same", async () => {
  const { keep, asked, said } = openCheck(NOT_ALLOWED, DONE);
  assertEquals(await keep(), true);
  assertEquals([asked(), said()], ["DM", []]);
});

Deno.test("one that may neither be turned off nor looked at is told, as it may be on", async () => {
  const { keep, said } = openCheck(NOT_ALLOWED, NOT_ALLOWED);
  assertEquals(await keep(), false);
  assertEquals(said().length, 1);
  assertEquals(said()[0]!.includes("ec2:ModifyNetworkInterfaceAttribute"), true);
});

Deno.test("where EC2 does not say, that is told: it may be on, or was off an hour ago", async () => {
  const { keep, said, clock } = openCheck(
    ...[described(true), refusal("InvalidNetworkInterfaceID.NotFound", "gone")],
    ...[described(true), DONE],
    refusal("Busy"),
  );
  assertEquals(await keep(), false);
  assertEquals(said(), [
    "cloud-check-on: the source/destination check of eni-1 may be on, so that it drops packets of pods: " +
    "ModifyNetworkInterfaceAttribute: InvalidNetworkInterfaceID.NotFound: gone",
  ]);
  assertEquals(await keep(), true);
  assertEquals(said(), []);
  clock.ms = HOUR_MS;
  assertEquals(await keep(), false);
  assertEquals(said(), [
    "cloud-not-answering: the source/destination check of eni-1 was not looked at: DescribeNetworkInterfaces: Busy: no",
  ]);
});
