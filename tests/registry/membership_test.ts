import { assert, assertEquals, assertGreaterOrEqual, assertStringIncludes } from "@std/assert";
import { waitUntil } from "../../src/lab/wait.ts";
import { LeaseSet } from "../../src/registry/lease_set.ts";
import { Membership, type MembershipDeps } from "../../src/registry/membership.ts";
import type { LeaseRegistry } from "../../src/registry/registry.ts";
import type { Log } from "../../src/log/log.ts";
import type { Lease, LeaseUpdate } from "../../src/model/lease.ts";
import { parseAddress } from "../../src/model/address.ts";
import { lease } from "./local/local_world.ts";

const OWN = lease("me", "10.244.1.0/24", "192.0.2.1");
const DEADLINE_MS = 5000;

/** A registry that answers as it is told to, and counts what it is asked. */
class Scripted implements Pick<LeaseRegistry, "host" | "previous" | "acquire" | "watch"> {
  readonly host = OWN.host;
  readonly answers: (() => Lease)[] = [];
  acquired = 0;
  readonly #updates: LeaseUpdate[] = [];
  #more = Promise.withResolvers<void>();

  previous = () => Promise.resolve(undefined);

  acquire(): Promise<Lease> {
    this.acquired++;
    const answer = this.answers.shift() ?? (() => OWN);
    return Promise.resolve().then(answer);
  }

  say(update: LeaseUpdate): void {
    this.#updates.push(update);
    this.#more.resolve();
  }

  async *watch({ signal }: { signal: AbortSignal }): AsyncGenerator<LeaseUpdate> {
    const aborted = new Promise<void>((resolve) =>
      signal.addEventListener("abort", () => resolve(), { once: true })
    );
    while (!signal.aborted) {
      for (const update of this.#updates.splice(0)) yield update;
      this.#more = Promise.withResolvers();
      await Promise.race([this.#more.promise, aborted]);
    }
  }

  /** Waits until it has been asked `count` times in all. */
  async until(count: number): Promise<void> {
    const endsAt = performance.now() + DEADLINE_MS;
    while (this.acquired < count) {
      if (performance.now() > endsAt) throw new Error(`It was asked ${this.acquired} times, not ${count}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    // What was answered is taken in after the answer.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

interface World {
  readonly registry: Scripted;
  readonly membership: Membership;
  readonly leases: LeaseSet;
  readonly events: string[];
  readonly changes: () => number;
}

/** Runs both loops of a membership for as long as `test` takes. */
async function withMembership(
  test: (world: World) => Promise<void>,
  options: { renewMarginMs?: number; answers?: (() => Lease)[]; elapsedMs?: () => number } = {},
): Promise<void> {
  const registry = new Scripted();
  registry.answers.push(...options.answers ?? []);
  const leases = new LeaseSet();
  const events: string[] = [];
  let changes = 0;
  const log: Log = { write: (_, event) => events.push(event) };
  const membership = new Membership({
    registry,
    leases,
    request: () => ({ backendType: "vxlan", parts: [], origin: {} }),
    changed: () => changes++,
    now: () => Date.now(),
    elapsedMs: options.elapsedMs ?? (() => performance.now()),
    log,
  }, { renewMarginMs: options.renewMarginMs ?? 0 });
  const controller = new AbortController();
  const { signal } = controller;
  const loops = Promise.all([membership.hold({ signal }), membership.follow({ signal })]);
  try {
    await registry.until(1);
    await test({ registry, membership, leases, events, changes: () => changes });
  } finally {
    controller.abort();
    await loops;
  }
}

Deno.test("Membership holds the lease that the registry gives, and says so once", async () => {
  await withMembership(({ membership, events, changes }) => {
    assertEquals([membership.own, membership.reason], [OWN, undefined]);
    assertEquals([events, changes()], [["lease acquired"], 1]);
    return Promise.resolve();
  });
});

Deno.test("Membership keeps asking, and keeps the reason, while there is no lease to be had", async () => {
  const refuse = () => {
    throw new Error("no subnet is free");
  };
  await withMembership(async ({ registry, membership }) => {
    assertEquals([membership.own, membership.reason], [undefined, "no subnet is free"]);
    await registry.until(2);
    await registry.until(3);
    assertEquals([membership.own, membership.reason], [OWN, undefined]);
  }, { answers: [refuse, refuse] });
});

Deno.test("Membership renews a lease before it ends, which nobody else needs to hear of", async () => {
  const ending = () => ({ ...OWN, expiresAtMs: Date.now() + 2000 });
  await withMembership(async ({ registry, events, changes }) => {
    await registry.until(2);
    // It may be renewed once more meanwhile.
    assertEquals([events.slice(0, 1), changes()], [["lease acquired"], 1]);
    assertEquals(new Set(events.slice(1)), new Set(["lease renewed"]));
  }, { answers: [ending, ending], renewMarginMs: 1990 });
});

Deno.test("Membership asks at once when what this host publishes has changed", async () => {
  const moved = lease("me", "10.244.1.0/24", "192.0.2.77");
  await withMembership(async ({ registry, membership, changes }) => {
    registry.answers.push(() => moved);
    membership.refresh();
    await registry.until(2);
    assertEquals([membership.own, changes()], [moved, 2]);
  });
});

Deno.test("Membership tells of a change that is in the backend data alone", async () => {
  const [part] = OWN.parts;
  const changed: Lease = {
    ...OWN,
    parts: [{ ...part!, backendData: { VNI: 1, VtepMAC: "0e:2a:00:00:00:99" } }],
  };
  await withMembership(async ({ registry, membership, changes }) => {
    registry.answers.push(() => changed);
    membership.refresh();
    await registry.until(2);
    assertEquals(changes(), 2);
  });
});

const losses: [how: string, update: LeaseUpdate][] = [
  ["was released by another", { kind: "released", host: "me" }],
  ["is not in a snapshot", { kind: "snapshot", leases: [lease("other", "10.244.2.0/24", "192.0.2.2")] }],
];

for (const [how, update] of losses) {
  Deno.test(`Membership takes its lease again when it ${how}`, async () => {
    await withMembership(async ({ registry, events }) => {
      registry.say(update);
      await registry.until(2);
      assert(events.includes("own lease was gone"), events.join());
    });
  });
}

Deno.test("Membership says that its lease is deleted again and again while it waits to take it once more", async () => {
  await withMembership(async ({ registry, membership }) => {
    for (let times = 1; times <= 3; times++) {
      registry.say({ kind: "released", host: "me" });
      await registry.until(times + 1);
      assertEquals(membership.contest, undefined, "it is taken again at once");
    }
    registry.say({ kind: "released", host: "me" });
    const options = { deadlineMs: DEADLINE_MS, signal: AbortSignal.timeout(DEADLINE_MS) };
    await waitUntil("be told", () => membership.contest, options);
    assertStringIncludes(membership.contest ?? "", "is deleted again and again");
    assertEquals(registry.acquired, 4);
    await registry.until(5);
    assertEquals(membership.contest, undefined, "it has it again");
  });
});

const rewritings: [how: string, update: LeaseUpdate][] = [
  ["an update", { kind: "held", lease: lease("me", "10.244.1.0/24", "192.0.2.66") }],
  ["a snapshot", { kind: "snapshot", leases: [lease("me", "10.244.66.0/24", "192.0.2.1")] }],
];

for (const [how, update] of rewritings) {
  Deno.test(`Membership takes its lease again when ${how} shows that it was rewritten`, async () => {
    await withMembership(async ({ registry, events }) => {
      registry.say(update);
      await registry.until(2);
      assert(events.includes("own lease was changed"), events.join());
    });
  });
}

Deno.test("Membership says that another host holds its lease for as long as it does, however long ago it took it", async () => {
  const clock = { ms: 0 };
  await withMembership(async ({ registry, membership }) => {
    const refuse = () => {
      throw new Error("no subnet is free");
    };
    registry.answers.push(refuse, refuse, refuse);
    const origin = { name: "other" };
    registry.say({ kind: "held", lease: lease("me", "10.244.1.0/24", "192.0.2.66", { origin }) });
    await registry.until(2);
    assertStringIncludes(membership.contest ?? "", "written by another host too: other");
    clock.ms += 3600_000;
    assertStringIncludes(membership.contest ?? "", "written by another host too: other");
    registry.say({ kind: "released", host: "me" });
    await registry.until(3);
    assertEquals(membership.contest, undefined);
  }, { elapsedMs: () => clock.ms });
});

Deno.test("Membership asks at once when the registry shows what it could not give before", async () => {
  const refuse = () => {
    throw new Error("the node has no podCIDR");
  };
  await withMembership(async ({ registry, membership }) => {
    const startedMs = performance.now();
    for (let count = 2; count <= 6; count++) {
      registry.say({ kind: "snapshot", leases: [OWN] });
      await registry.until(count);
    }
    // By its clock alone it would have asked again after 200 + 400 + 800 + 1600 ms.
    assert(performance.now() - startedMs < 2500);
    assertEquals(membership.own, OWN);
  }, { answers: [refuse, refuse, refuse, refuse, refuse] });
});

Deno.test("Membership does not ask again when the registry shows its lease as it is", async () => {
  const other = lease("other", "10.244.2.0/24", "192.0.2.2");
  await withMembership(async ({ registry, leases, changes }) => {
    registry.say({ kind: "snapshot", leases: [OWN] });
    registry.say({ kind: "held", lease: { ...OWN, expiresAtMs: 1 } });
    registry.say({ kind: "held", lease: other });
    const before = changes();
    registry.say({ kind: "held", lease: { ...other, expiresAtMs: 1 } });
    registry.say({ kind: "held", lease: { ...other, expiresAtMs: 2 } });
    registry.say({ kind: "released", host: "nobody" });
    const endsAt = performance.now() + DEADLINE_MS;
    while (leases.of("other")?.expiresAtMs !== 2 && performance.now() < endsAt) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assertEquals(registry.acquired, 1);
    assertEquals(changes() - before, 2, "the snapshot and the new lease");
  });
});

Deno.test("Membership builds upon the lease that is remembered while the registry gives none", async () => {
  const controller = new AbortController();
  const remembered = lease("me", "10.244.7.0/24", "192.0.2.1");
  const membership = membershipOf(
    registryWith({
      acquire: () => {
        setTimeout(() => controller.abort(), 5);
        return Promise.reject(new Error("nobody answers"));
      },
    }),
    { remembered },
  );
  assertEquals(membership.own, remembered);
  await endsInTime(membership.hold({ signal: controller.signal }));
  assertEquals([membership.own, membership.reason], [remembered, "nobody answers"]);
});

Deno.test("Membership follows the leases of all others", async () => {
  const other = lease("other", "10.244.2.0/24", "192.0.2.2");
  await withMembership(async ({ registry, leases }) => {
    registry.say({ kind: "snapshot", leases: [OWN] });
    registry.say({ kind: "held", lease: other });
    const endsAt = performance.now() + DEADLINE_MS;
    while (leases.of("other") === undefined && performance.now() < endsAt) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assertEquals(leases.of("other"), other);
    assertEquals(registry.acquired, 1);
  });
});

/** A registry of one lease, of which the parts given behave otherwise. */
function registryWith(overrides: Partial<MembershipDeps["registry"]>): MembershipDeps["registry"] {
  return {
    host: OWN.host,
    previous: () => Promise.resolve(undefined),
    acquire: () => Promise.resolve(OWN),
    async *watch() {},
    ...overrides,
  };
}

function membershipOf(
  registry: MembershipDeps["registry"],
  overrides: Partial<MembershipDeps> = {},
): Membership {
  const log: Log = { write: () => {} };
  return new Membership({
    registry,
    leases: new LeaseSet(),
    request: () => ({ backendType: "vxlan", parts: [], origin: {} }),
    changed: () => {},
    now: () => 0,
    elapsedMs: () => 0,
    log,
    ...overrides,
  }, { renewMarginMs: 0 });
}

/** Fails if `loop` has not ended in time. */
async function endsInTime(loop: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("the loop goes on")), DEADLINE_MS);
  try {
    await Promise.race([loop, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

Deno.test("Membership asks again after 200 ms, and twice as long each time, and says so", async () => {
  const controller = new AbortController();
  const said: unknown[] = [];
  const log: Log = { write: (_, event, fields) => said.push([event, fields?.reason]) };
  const askedMs: number[] = [];
  const registry = registryWith({
    acquire: () => {
      askedMs.push(performance.now());
      if (askedMs.length === 3) controller.abort();
      return Promise.reject(new Error("no subnet is free"));
    },
  });
  const membership = membershipOf(registry, { log });
  await membership.hold({ signal: controller.signal });
  assertEquals([membership.reason, said], ["no subnet is free", []]);
  // Half of it at least, at random; a timer may come a little early, as clocks round.
  assertGreaterOrEqual(askedMs[1]! - askedMs[0]!, 98);
  assertGreaterOrEqual(askedMs[2]! - askedMs[1]!, 198);
});

const endings: [when: string, acquire: (controller: AbortController) => Promise<Lease>][] = [
  ["while it waits to renew", (controller) => {
    setTimeout(() => controller.abort(), 5);
    return Promise.resolve(OWN);
  }],
  ["while it is given a lease", (controller) => {
    controller.abort();
    return Promise.resolve(OWN);
  }],
  ["while it waits to ask again", (controller) => {
    setTimeout(() => controller.abort(), 5);
    return Promise.reject(new Error("no subnet is free"));
  }],
  ["while it is refused one", (controller) => {
    controller.abort();
    return Promise.reject(controller.signal.reason);
  }],
];

for (const [when, acquire] of endings) {
  Deno.test(`Membership ends with its signal ${when}`, async () => {
    const controller = new AbortController();
    const registry = registryWith({ acquire: () => acquire(controller) });
    await endsInTime(membershipOf(registry).hold({ signal: controller.signal }));
  });
}

Deno.test("Membership asks once more when it is told to while it is being given a lease", async () => {
  const controller = new AbortController();
  let asked = 0;
  const membership = membershipOf(registryWith({
    acquire: () => {
      asked++;
      if (asked === 1) membership.refresh();
      else controller.abort();
      return Promise.resolve(OWN);
    },
  }));
  await endsInTime(membership.hold({ signal: controller.signal }));
  assertEquals(asked, 2);
});

Deno.test("Membership asks with the lease that it held last, also in an earlier process", async () => {
  const controller = new AbortController();
  const earlier = lease("me", "10.244.9.0/24", "192.0.2.1");
  const asked: unknown[] = [];
  const membership = membershipOf(
    registryWith({
      previous: () => Promise.resolve(earlier),
      acquire: () => {
        if (asked.length === 2) membership.refresh();
        else controller.abort();
        return Promise.resolve(OWN);
      },
    }),
    {
      request: (previous) => {
        asked.push(previous);
        return { backendType: "vxlan", parts: [], origin: {} };
      },
    },
  );
  await endsInTime(membership.hold({ signal: controller.signal }));
  assertEquals(asked, [undefined, earlier, OWN], "first what it would ask for without one");
});

Deno.test("Membership asks even where it can't be told what it held last", async () => {
  const controller = new AbortController();
  const membership = membershipOf(registryWith({
    previous: () => Promise.reject(new Error("the file is gone")),
    acquire: () => {
      controller.abort();
      return Promise.resolve(OWN);
    },
  }));
  await endsInTime(membership.hold({ signal: controller.signal }));
  assertEquals(membership.own, OWN);
});

Deno.test("Membership says that the registry has lost its lease and does not take it again", async () => {
  const refuse = () => {
    throw new Error("it may not write");
  };
  await withMembership(async ({ registry, membership }) => {
    assertEquals(membership.gone, undefined);
    registry.say({ kind: "released", host: OWN.host });
    await registry.until(2);
    assertStringIncludes(
      membership.gone!,
      "others have no way to it, and it can't be written again: it may not write",
    );
    assertEquals(membership.own, OWN, "what is built stays");
    registry.say({ kind: "held", lease: OWN });
    await waitUntil("see it there again", () => membership.gone === undefined || undefined, {
      deadlineMs: DEADLINE_MS,
      signal: new AbortController().signal,
    });
  }, { answers: [() => OWN, refuse, refuse, refuse, refuse, refuse] });
});

Deno.test("Membership keeps its lease, with a reason, while it can't be renewed", async () => {
  const controller = new AbortController();
  let asked = 0;
  const membership = membershipOf(registryWith({
    acquire: () => {
      asked++;
      if (asked === 1) {
        membership.refresh();
        return Promise.resolve(OWN);
      }
      setTimeout(() => controller.abort(), 5);
      return Promise.reject(new Error("the file can't be written"));
    },
  }));
  await endsInTime(membership.hold({ signal: controller.signal }));
  assertEquals([membership.own, membership.reason], [OWN, "the file can't be written"]);
});

Deno.test("Membership says where others send to while this host is elsewhere, and asks at once when it is told to", async () => {
  const controller = new AbortController();
  let at = "192.0.2.1";
  let asked = 0;
  const membership = membershipOf(
    registryWith({
      acquire: () => {
        asked++;
        return asked === 2 ? Promise.reject(new Error("nobody answers")) : Promise.resolve(OWN);
      },
    }),
    {
      request: () => ({
        backendType: "vxlan",
        parts: [{ underlayAddress: parseAddress(at), backendData: null }],
        origin: {},
      }),
    },
  );
  const run = membership.hold({ signal: controller.signal });
  const until = async (count: number) => {
    while (asked < count) await new Promise((resolve) => setTimeout(resolve, 1));
    await new Promise((resolve) => setTimeout(resolve, 0));
  };
  await until(1);
  assertEquals(membership.misplaced, undefined);
  membership.retry();
  assertEquals(asked, 1, "what is held need not be asked for");
  at = "192.0.2.9";
  membership.refresh();
  await until(2);
  assertEquals(
    membership.misplaced,
    "this host is at 192.0.2.9, and others send to 192.0.2.1, until the lease is renewed: nobody answers",
  );
  membership.retry();
  await until(3);
  assertEquals([membership.misplaced, membership.reason], [undefined, undefined]);
  controller.abort();
  await run;
});

Deno.test("Membership tells the registry twice a minute only of an address that changes again and again, and says so", async () => {
  const controller = new AbortController();
  let place = 0;
  let asked = 0;
  const address = () => `192.0.2.${1 + place % 2}`;
  const membership = membershipOf(
    registryWith({
      acquire: () => {
        asked++;
        return Promise.resolve(lease("me", "10.244.1.0/24", address()));
      },
    }),
    {
      request: () => ({
        backendType: "vxlan",
        parts: [{ underlayAddress: parseAddress(address()), backendData: null }],
        origin: {},
      }),
      elapsedMs: () => 0,
    },
  );
  const run = membership.hold({ signal: controller.signal });
  const until = (what: string, isIt: () => boolean) =>
    waitUntil(what, () => isIt() || undefined, { deadlineMs: DEADLINE_MS, signal: controller.signal });
  await until("have it", () => membership.own !== undefined);
  for (place = 1; place <= 21; place++) {
    membership.refresh();
    const expected = parseAddress(address());
    await until(`be at ${place}`, () => membership.own!.parts[0]!.underlayAddress === expected);
  }
  assertEquals([asked, membership.misplaced], [22, undefined]);
  membership.refresh();
  await until("hear that it waits", () => membership.misplaced !== undefined);
  assertEquals(
    membership.misplaced,
    "this host is at 192.0.2.1, and others send to 192.0.2.2, until the lease is renewed: that is every 30 s only, as " +
      "it has changed again and again",
  );
  place++;
  membership.refresh();
  await until("hear that it is back", () => membership.misplaced === undefined);
  assertEquals(asked, 22);
  controller.abort();
  await run;
});

Deno.test("Membership says that its lease is contested when another host writes it, not when it is deleted", async () => {
  const origin = { name: "node7", mac: "52:54:00:00:00:07" };
  await withMembership(async ({ registry, membership }) => {
    registry.say({ kind: "snapshot", leases: [OWN] });
    for (let time = 1; time <= 3; time++) {
      registry.say({ kind: "released", host: OWN.host });
      await registry.until(1 + time);
    }
    assertEquals(membership.contest, undefined);
    registry.say({ kind: "held", lease: { ...lease("me", "10.244.1.0/24", "192.0.2.77"), origin } });
    const { signal } = new AbortController();
    await waitUntil("see it contested", () => membership.contest, { deadlineMs: DEADLINE_MS, signal });
    assertEquals(
      membership.contest,
      "the lease me of this host is written by another host too: node7 (MAC 52:54:00:00:00:07)",
    );
  });
});
