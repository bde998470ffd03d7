import { assertEquals, assertRejects } from "@std/assert";
import { MessageWriter } from "../../src/netlink/message.ts";
import { hearNotifications, type NotificationSource, othersOnly } from "../../src/netlink/notifications.ts";
import { type Datagram, LOST, scripted } from "../double/scripted_notifications.ts";

const OWN_PORT_ID = 4711;

/** A datagram of one message for each type, from one port. */
function datagram(types: readonly number[], portId = 0): Uint8Array {
  const writer = new MessageWriter();
  const starts = types.map((type) => {
    const start = writer.length;
    writer.begin(type, 0, 0);
    writer.end();
    return start;
  });
  const bytes = writer.bytes.slice();
  for (const start of starts) new DataView(bytes.buffer).setUint32(start + 12, portId, true);
  return bytes;
}

function listen(datagrams: Datagram[], overrides: Partial<NotificationSource["notifications"]> = {}) {
  const controller = new AbortController();
  const said: (number | typeof LOST)[] = [];
  const notifications = { ...scripted(datagrams, controller), ...overrides };
  const run = () =>
    hearNotifications(
      othersOnly({ notifications, ownPortId: OWN_PORT_ID }, {
        heard: ({ type }) => said.push(type),
        lost: () => said.push(LOST),
      }),
      { signal: controller.signal },
    );
  return { said, run };
}

Deno.test("hearNotifications() tells of every message of others, and where some were lost", async () => {
  const { said, run } = listen([datagram([16, 24]), datagram([28], OWN_PORT_ID), LOST, datagram([20], 7)]);
  await run();
  assertEquals(said, [16, 24, LOST, 20]);
});

Deno.test("hearNotifications() tells once of what was lost while it reads, however often the kernel says so", async () => {
  const { said, run } = listen([LOST, datagram([16]), LOST, LOST, datagram([20])]);
  await run();
  assertEquals(said, [LOST, 16, 20]);
});

Deno.test("hearNotifications() lets others have their turn while notifications come faster than they are read", async () => {
  const endless = datagram([24]);
  let turns = 0;
  const { said, run } = listen([], {
    wait: () => turns++ < 2 ? Promise.resolve() : Promise.reject(new Error("enough")),
    receive(buffer) {
      buffer.set(endless);
      return endless.length;
    },
  });
  await assertRejects(run, Error, "enough");
  assertEquals(said.length, 1000);
});

const malformed: [what: string, datagram: Uint8Array][] = [
  ["is shorter than a header", new Uint8Array(7)],
  ["claims more than there is", Uint8Array.from([200, 0, 0, 0, ...new Uint8Array(28)])],
];

for (const [what, wrong] of malformed) {
  Deno.test(`hearNotifications() fails when a datagram ${what}, and goes on behind it when it is called again`, async () => {
    const { said, run } = listen([wrong, datagram([16])]);
    await assertRejects(run, SyntaxError);
    await run();
    assertEquals(said, [16]);
  });
}

Deno.test("hearNotifications() fails with what a wait fails with, unless it was to end", async () => {
  const { run } = listen([], { wait: () => Promise.reject(new Error("Cannot wait")) });
  await assertRejects(run, Error, "Cannot wait");
});
