import { assertNoneLost, RunningPing } from "../overlay_ping.ts";
import { until } from "../overlay_rig.ts";
import type { VpcHost, VpcRig } from "./vpc_rig.ts";

/** Waits until all hosts and their pods answer each other, in both families. */
export async function untilAnswered(rig: VpcRig, hosts: readonly VpcHost[]): Promise<void> {
  const pairs = hosts.flatMap((from) => hosts.filter((to) => to !== from).map((to) => [from, to] as const));
  await Promise.all(pairs.flatMap(([from, to]) =>
    ([0, 1] as const).map(async (family) => {
      // A link that has just come up hears nothing for a moment.
      await until(`reach ${to.name} from ${from.name} by IPv${family === 0 ? 4 : 6}`, async () => {
        return await rig.answers(from, to, family) && await rig.answersHost(to, from, family) || undefined;
      });
    })
  ));
}

/** Has pods of two hosts ping each other in both families while `during` happens; no packet may get lost. */
export async function underTraffic(one: VpcHost, other: VpcHost, during: () => Promise<void>): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const pings: RunningPing[] = [];
  for (const family of [0, 1] as const) {
    pings.push(stack.use(await RunningPing.start(one.lab, other.lab, family)));
    pings.push(stack.use(await RunningPing.start(other.lab, one.lab, family)));
  }
  await during();
  await Promise.all(pings.map((ping) => ping.untilMore(20)));
  await assertNoneLost(pings);
}

/** Waits until the route tables lead to hosts as they are to. */
export async function untilRouted(rig: VpcRig, hosts: readonly VpcHost[]): Promise<void> {
  const wanted = JSON.stringify(rig.routesOf(hosts));
  await until(
    "see the route tables right",
    () => JSON.stringify(rig.routes()) === wanted || undefined,
    () => JSON.stringify([rig.routes(), wanted]),
  );
  await rig.router.settled();
}
