import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { Libc } from "../../src/linux/libc.ts";
import type { Family } from "../../src/model/address.ts";
import { reconcileOnce } from "../../src/reconcile/reconciler.ts";
import { StateFights } from "../../src/reconcile/state_fights.ts";
import { scenarios } from "../scenarios.ts";
import { leaseOf, TestHost, type TestHostOptions } from "../double/test_host.ts";

// Another program that undoes what passes do, with a clock of the test's own.

const LIMITS = { silentTurns: 2, slowing: { freeTurns: 4, windowMs: 60_000, pauseMs: 30_000 } };
const MANY = 40;

/** Passes on a host of its own that know of fights. */
function passing(host: TestHost, remote = threePeers(host.family)) {
  let nowMs = 0;
  let wanted = host.deps(remote).desire();
  const fights = new StateFights(() => nowMs, { limits: LIMITS });
  const deps = { ...host.deps(remote), fights, desire: () => wanted };
  return {
    fights,
    pass: () => reconcileOnce(deps)!,
    after: (ms: number) => nowMs += ms,
    /** Has the same wanted again, as after a change in the registry that says nothing of what is fought over. */
    wantAnew: () => wanted = host.deps(remote).desire(),
  };
}

const threePeers = (family: Family) => scenarios(family).find(({ name }) => name === "three peers")!.remote;

interface Case {
  readonly name: string;
  readonly commands: readonly string[][];
  readonly code: "link-fought" | "state-fought";
  /** What is said of it. */
  readonly words: readonly string[];
  readonly options?: TestHostOptions;
}

/** What another program may do each time, as arguments of ip(8) or bridge(8). */
function cases(family: Family): readonly Case[] {
  const link = family === 2 ? "flannel.1" : "flannel-v6.1";
  const version = family === 2 ? "-4" : "-6";
  const [own, peer, elsewhere, other] = family === 2
    ? ["10.244.1.0/32", "10.244.2.0", "192.0.2.99", "192.0.2.77/32"] as const
    : ["fd00:10:244:1::/128", "fd00:10:244:2::", "2001:db8::99", "2001:db8::77/128"] as const;
  const subnet = `${peer}/${family === 2 ? 24 : 64}`;
  const mac = "0e:2a:00:00:00:0a";
  const onLink = (words: string) => [`link ${link} `, words];
  return [
    {
      name: "enslaves the VTEP to a bridge",
      commands: [["ip", "link", "set", link, "master", "br0"]],
      code: "link-fought",
      words: onLink("enslaved to br0"),
    },
    {
      name: "sets the VTEP down",
      commands: [["ip", "link", "set", link, "down"]],
      code: "link-fought",
      words: onLink("down"),
    },
    {
      name: "changes the VTEP's MTU",
      commands: [["ip", "link", "set", link, "mtu", "1300"]],
      code: "link-fought",
      words: onLink("MTU 1300"),
    },
    {
      name: "changes the VTEP's MAC",
      commands: [["ip", "link", "set", link, "address", "02:00:00:00:00:77"]],
      code: "link-fought",
      words: onLink("MAC 02:00:00:00:00:77"),
    },
    {
      name: "deletes the VTEP",
      commands: [["ip", "link", "delete", link]],
      code: "link-fought",
      words: onLink("deleted"),
    },
    {
      name: "has another link in the VTEP's place",
      commands: [["ip", "link", "delete", link], ["ip", "link", "add", link, "type", "bridge"]],
      code: "link-fought",
      words: onLink("it is a bridge link"),
    },
    {
      name: "deletes the VTEP's address",
      commands: [["ip", "address", "delete", own, "dev", link]],
      code: "link-fought",
      words: [`address ${own} of ${link} `, "deleted"],
    },
    {
      name: "gives the VTEP an address",
      commands: [["ip", "address", "add", other, "dev", link]],
      code: "link-fought",
      words: [`address ${other} of ${link} `, "added"],
    },
    {
      name: "deletes a route",
      commands: [["ip", version, "route", "delete", subnet]],
      code: "state-fought",
      words: [`route ${subnet} `, "deleted"],
    },
    {
      name: "changes a route",
      commands: [[
        ...["ip", version, "route", "replace", subnet, "dev", "lo", "proto", "76"],
        ...["metric", family === 2 ? "3" : "1024"],
      ]],
      code: "state-fought",
      words: [`route ${subnet} `, "in its place"],
    },
    {
      name: "has a route before one that takes its place",
      commands: [["ip", version, "route", "add", "unreachable", subnet, "metric", "1", "proto", "bird"]],
      code: "state-fought",
      words: [`route ${subnet} `, "unreachable", "proto bird"],
      options: { takesForeign: true },
    },
    {
      name: "deletes a neighbour",
      commands: [["ip", "neigh", "delete", peer, "dev", link]],
      code: "state-fought",
      words: [`neighbour ${peer} dev ${link}`, "deleted"],
    },
    {
      name: "changes a neighbour",
      commands: [
        ["ip", "neigh", "replace", peer, "lladdr", "02:00:00:00:00:77", "dev", link, "nud", "permanent"],
      ],
      code: "state-fought",
      words: [`neighbour ${peer} dev ${link}`, "02:00:00:00:00:77"],
    },
    {
      name: "changes an FDB entry",
      commands: [["bridge", "fdb", "replace", mac, "dev", link, "dst", elsewhere, "self", "permanent"]],
      code: "state-fought",
      words: [`FDB entry ${mac} dev ${link}`, `dst ${elsewhere}`],
    },
    {
      name: "has an FDB entry more",
      commands: [
        ["bridge", "fdb", "append", "02:00:00:00:00:88", "dev", link, "dst", elsewhere, "self", "permanent"],
      ],
      code: "state-fought",
      words: [`FDB entry 02:00:00:00:00:88 dev ${link}`, "added"],
    },
  ];
}

/** Has a fight on a host until it is slowed. */
async function provoke(host: TestHost, commands: readonly string[][], pass: () => unknown): Promise<void> {
  const expected = await host.show();
  for (let times = 1; times <= LIMITS.slowing.freeTurns; times++) {
    await undo(host, commands);
    pass();
    assertEquals(await host.show(), expected, `put back at once the time ${times}`);
  }
  await undo(host, commands);
}

async function undo({ netns }: TestHost, commands: readonly string[][]): Promise<void> {
  for (const command of commands) {
    const { code, stderr } = await netns.run(command[0]!, ...command.slice(1));
    if (code !== 0) throw new Error(`Cannot ${command.join(" ")}: ${stderr}`);
  }
}

for (const [family, version] of [[2, "IPv4"], [10, "IPv6"]] as const) {
  for (const { name, commands, code, words, options } of cases(family)) {
    Deno.test(`what ${name} again and again is left for a while, named, and put back, ${version}`, async () => {
      using libc = new Libc();
      await using host = await TestHost.open(libc, { family, ...options });
      await host.netns.ip("link", "add", "br0", "type", "bridge");
      const { fights, pass, after } = passing(host);
      pass();
      const expected = await host.show();
      await provoke(host, commands, pass);
      assertEquals(fights.conditions.map(({ code }) => code), ["state-fought"], "told before it is slowed");
      // What went with it is put back before it is left alone.
      pass();
      const undone = await host.show();
      const { planned, failures, fights: told, isForwarding } = pass();
      assertEquals([planned, failures], [0, []]);
      assertEquals(await host.show(), undone);
      assertNotEquals(undone, expected);
      assertEquals(told.map((one) => one.code), [code]);
      for (const word of words) assertStringIncludes(told[0]!.sentence, word);
      assertEquals(isForwarding, code === "state-fought");
      // It is put back once the pause is over, and stays so if the program has ended.
      assertEquals(fights.waitMs, 30_000);
      after(30_000);
      assertEquals(pass().failures, []);
      assertEquals(await host.show(), expected);
      assertEquals(pass().planned, 0);
      after(30_001);
      assertEquals(pass().fights, []);
    });
  }

  Deno.test(`another row is put back at once while one is fought over, ${version}`, async () => {
    using libc = new Libc();
    await using host = await TestHost.open(libc, { family });
    const { pass } = passing(host);
    pass();
    const [first, second] = threePeers(family).map(({ parts: [part] }) => part!.subnet.address);
    assert(first !== second);
    const routes = (await host.show()).filter((line) => line.startsWith("route "))
      .map((line) => line.split(" ")[1]!);
    const remove = (route: string) => [["ip", family === 2 ? "-4" : "-6", "route", "delete", route]];
    await provoke(host, remove(routes[0]!), pass);
    await undo(host, remove(routes[1]!));
    pass();
    const left = (await host.show()).filter((line) => line.startsWith("route ")).join("\n");
    assertEquals([left.includes(`${routes[0]} `), left.includes(`${routes[1]} `)], [false, true]);
  });

  const many = Array.from({ length: MANY }, (_, n) => {
    const [subnet, address] = family === 2
      ? [`10.244.${n + 2}.0/24`, `192.0.2.${n + 2}`]
      : [`fd00:10:244:${n + 2}::/64`, `2001:db8::${n + 2}`];
    return leaseOf(
      `host ${n + 2}`,
      subnet,
      address,
      `0e:2a:00:00:01:${(n + 2).toString(16).padStart(2, "0")}`,
    );
  });
  const link = family === 2 ? "flannel.1" : "flannel-v6.1";

  Deno.test(`all routes that a program flushes again and again are one thing, ${version}`, async () => {
    using libc = new Libc();
    await using host = await TestHost.open(libc, { family });
    const { pass, after, wantAnew } = passing(host, many);
    pass();
    const flush = [["ip", family === 2 ? "-4" : "-6", "route", "flush", "dev", link, "proto", "76"]];
    await provoke(host, flush, pass);
    const { planned, fights: told } = pass();
    assertEquals([planned, told.map(({ code }) => code)], [0, ["link-fought"]]);
    assertStringIncludes(told[0]!.sentence, `the routes of ${link} `);
    // Nobody new waits for that.
    wantAnew();
    assertEquals(pass().planned, MANY);
    await undo(host, flush);
    assertEquals(pass().planned, 0);
    after(30_000);
    assertEquals(pass().planned, MANY);
  });

  Deno.test(`what goes with a link that comes and goes is nobody's doing, ${version}`, async () => {
    using libc = new Libc();
    await using host = await TestHost.open(libc, { family });
    const { pass } = passing(host, many);
    pass();
    for (let times = 0; times < LIMITS.slowing.freeTurns; times++) {
      await undo(host, [["ip", "link", "delete", link]]);
      pass();
    }
    const { fights: told } = pass();
    assertEquals(told.length, 1);
    assertStringIncludes(told[0]!.sentence, `changed link ${link} `);
  });

  Deno.test(`what is wanted otherwise each time is no fight, ${version}`, async () => {
    using libc = new Libc();
    await using host = await TestHost.open(libc, { family });
    const { pass, wantAnew } = passing(host);
    pass();
    const { mtuBytes } = host.underlay;
    for (let times = 0; times < 3 * LIMITS.slowing.freeTurns; times++) {
      host.underlay = {
        ...host.underlay,
        mtuBytes,
        addresses: host.underlay.addresses.map((one) => ({
          ...one,
          mtuBytes: 1500 - 10 * (times % 2),
        })),
      };
      wantAnew();
      const { planned, fights: told } = pass();
      assertEquals([planned > 0, told], [times > 0, []]);
    }
  });
}
