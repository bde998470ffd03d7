import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { targetOf } from "../../src/lab/measure.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { AF_INET, type Family, familyOf, formatAddress, formatPrefix } from "../../src/model/address.ts";
import {
  agentCommand,
  hostsOf,
  statusOf,
  until,
  untilReachable,
  untilReady,
  untilSettled,
  withOverlay,
} from "../double/overlay_rig.ts";
import { ip } from "../double/overlay_standing.ts";
import { describeMachine } from "../bench/machine.ts";
import { FIREWALLS } from "../double/firewalls.ts";
import { markdownTable, NO_OBJECT, sectionOf, writeSection } from "./document.ts";
import { HARMLESS, READY_FAULTS, type ReadyFault, type ReadySite } from "./ready_faults.ts";
import { KINDS, type Mode } from "./site.ts";

const DOCUMENT = new URL("../../docs/ready.md", import.meta.url);
const MODES = ["vxlan", "auto", "host-gw"] as const;
/** On a machine that does other things too; the goal is 2 s. */
const SAID_MS = 5000;
/** Milliseconds until it is said, and until the host is ready, or without a note, again. */
const CELL = /^\d+ · \d+$/;
const { families, network } = KINDS.find(({ families }) => families.length === 2)!;
const outcomes = new Map<string, string>();

function applies({ modes, family }: ReadyFault, mode: typeof MODES[number], each: Family): boolean {
  return (modes?.includes(mode as Mode) ?? true) && (family === undefined || family === each);
}

/** Reports whether the pod of a host reaches a peer's with one packet. */
async function isReached({ host, peer, family }: ReadySite): Promise<boolean> {
  const target = formatAddress(targetOf({ from: host, to: peer, family }));
  return (await host.podExec("ping", "-c1", "-W1", target)).code === 0;
}

for (const mode of MODES) {
  Deno.test(`${mode}: what takes the overlay's packets is said with its name, and no more when it is gone`, async (t) => {
    const networkConfig = { ...network, Backend: { Type: mode } };
    await withOverlay({ hosts: 3, families, networkConfig }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [host, peer] = hostsOf(lab);
      for (const family of families) {
        const site: ReadySite = { lab, host, peer, family };
        for (const fault of READY_FAULTS.filter((one) => applies(one, mode, family))) {
          const name = `${fault.name}, ${family === AF_INET ? "IPv4" : "IPv6"}`;
          const isGood = await t.step(name, async () => {
            await fault.make(site);
            const madeMs = performance.now();
            let said: unknown;
            const seen = await until(`hear of: ${name}`, async () => {
              const status = await statusOf(libc, host);
              said = status?.conditions;
              const found = status?.conditions.filter(({ code }) => code === fault.code) ?? [];
              const words = fault.says(site);
              const isNamed = found.some(({ reason }) => words.every((one) => reason.includes(one)));
              return isNamed ? { status: status!, afterMs: performance.now() - madeMs } : undefined;
            }, () => JSON.stringify(said));
            assertEquals(seen.status.ready, !fault.isBlocking);
            // What probes find of it is another proof, and comes later.
            // One peer may be known of before the others.
            await until(`hear of nothing but: ${name}`, async () => {
              const status = await statusOf(libc, host);
              said = status?.conditions;
              const codes = status?.conditions.filter(({ severity, code }) =>
                severity !== "info" && !code.startsWith("path-") && code !== "overlay-cut-off"
              ).map(({ code }) => code);
              return codes?.join() === fault.code || undefined;
            }, () => `the same fact is said twice, or another one: ${JSON.stringify(said)}`);
            assertLess(seen.afterMs, SAID_MS);
            assert(fault.passes || !fault.isBlocking || !await isReached(site), "it takes nothing");
            await fault.undo(site);
            const goneMs = performance.now();
            const untilGone = (isGone: (codes: readonly string[]) => boolean) =>
              until(`hear no more of: ${name}`, async () => {
                const status = await statusOf(libc, host);
                said = status?.conditions;
                return isGone(status?.conditions.map(({ code }) => code) ?? [fault.code]) || undefined;
              }, () => JSON.stringify(said));
            await untilGone((codes) => !codes.includes(fault.code));
            const cleared = performance.now() - goneMs;
            await untilGone((codes) => codes.length === 0);
            await untilReady(libc, host);
            await until(`reach ${peer.name} again`, async () => await isReached(site) || undefined);
            outcomes.set(
              `${mode} ${family} ${fault.name}`,
              `${Math.round(seen.afterMs)} · ${Math.round(cleared)}`,
            );
          });
          if (!isGood) return;
        }
      }
    });
  });
}

for (const mode of MODES) {
  Deno.test(`${mode}: what other programs have on hosts that work is no fault`, async () => {
    const networkConfig = { Network: "10.244.0.0/16", Backend: { Type: mode } };
    await withOverlay({ hosts: 3, networkConfig }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [host, peer] = hostsOf(lab);
      for (const { make } of HARMLESS) for (const words of make) await ip(host, ...words).catch(ignoreThere);
      await untilReachable(lab);
      await saysNothingBut(libc, host, peer);
      assertEquals(await toldBeside(host), []);
      await untilReady(libc, host);
      assertEquals((await statusOf(libc, host))?.conditions, []);
    });
  });
}

Deno.test("firewalls of hosts that work are no fault", async () => {
  await withOverlay({ hosts: 3, families, networkConfig: network }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [host, peer] = hostsOf(lab);
    for (const { script, isPlayedOnly } of FIREWALLS) {
      if (!isPlayedOnly) await host.netns.mustExec("sh", "-ec", script);
    }
    await untilReachable(lab);
    await saysNothingBut(libc, host, peer);
    assertEquals(await toldBeside(host), []);
    await untilReady(libc, host);
  });
});

/** What was told of in the log, but for the fault of {@linkcode saysNothingBut}, and what is told of at a start. */
async function toldBeside(host: LabHost): Promise<string[]> {
  return (await host.logLines()).filter((line) =>
    line.includes("condition set") && line.includes('"level":"warn"') &&
    !line.includes("data-path-unproved") && !line.includes(" table local ")
  );
}

/** A route or rule that an earlier row has made is as good. */
function ignoreThere(error: unknown): void {
  assertMatch(String(error), /File exists/);
}

/**
 * Makes a fault that is told of, and takes it away: so that all that was made before was looked at.
 */
async function saysNothingBut(
  libc: Parameters<typeof statusOf>[0],
  host: LabHost,
  peer: LabHost,
): Promise<void> {
  const subnet = formatPrefix(peer.share.subnets.find(({ address }) => familyOf(address) === AF_INET)!);
  // The half that probes, which go to the first address, don't meet.
  const half = subnet.replace(/\.0\/24$/, ".128/25");
  await ip(host, "route", "add", "blackhole", half, "table", "local");
  let codes: string[] = [];
  await until("hear of what is told", async () => {
    codes = (await statusOf(libc, host))?.conditions.map(({ code }) => code) ?? [];
    return codes.includes("peers-misrouted") || undefined;
  });
  assertEquals(codes, ["peers-misrouted"]);
  await ip(host, "route", "delete", "blackhole", half, "table", "local");
  await until(
    "hear no more of it",
    async () => (await statusOf(libc, host))?.conditions.length === 0 || undefined,
  );
}

Deno.test("a VTEP that another program has set out of use is in use again at once", async () => {
  const networkConfig = { Network: "10.244.0.0/16" };
  await withOverlay({ hosts: 2, networkConfig }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [host] = hostsOf(lab);
    await ip(host, "link", "set", "flannel.1", "protodown", "on");
    await until(
      "see the VTEP in use",
      async () => !(await ip(host, "link", "show", "flannel.1")).includes("protodown") || undefined,
    );
    await untilReachable(lab);
    await untilReady(libc, host);
  });
});

Deno.test("the table of what takes packets can be written, and the document has it", async () => {
  const rows = READY_FAULTS.map((fault) => [
    fault.name,
    `\`${fault.code}\``,
    fault.isBlocking ? "no" : "yes",
    ...MODES.flatMap((mode) =>
      families.map((family) =>
        applies(fault, mode, family) ? outcomes.get(`${mode} ${family} ${fault.name}`) ?? "" : NO_OBJECT
      )
    ),
  ]);
  const heading = [
    "what takes packets",
    "condition",
    "ready",
    ...MODES.flatMap((mode) => families.map((family) => `${mode} ${family === AF_INET ? "IPv4" : "IPv6"}`)),
  ];
  const agent = agentCommand.length === 2 ? "compiled binary" : "from source";
  const lines = [`${await describeMachine()}; agent: ${agent}.`, "", ...markdownTable([heading, ...rows])];
  // deno-lint-ignore no-console
  console.log(lines.join("\n"));
  if (Deno.env.get("LODEN_WRITE") === "1") await writeSection("ready", lines, DOCUMENT);
  const written = sectionOf(await Deno.readTextFile(DOCUMENT), "ready", DOCUMENT).split("\n")
    .filter((line) => line.startsWith("| ")).slice(2)
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  assertEquals(
    written.map(([name, code, ready]) => [name, code, ready]),
    rows.map(([name, code, ready]) => [name, code, ready]),
    "rows: write them with LODEN_WRITE=1 deno test -A tests/faults/ready_test.ts",
  );
  for (const row of written) {
    for (const cell of row.slice(3)) assertMatch(cell, cell === NO_OBJECT ? /^–$/ : CELL);
  }
});
