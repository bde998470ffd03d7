import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { readCleanupOptions } from "../../src/command/cleanup/cleanup_flags.ts";
import { cleanUpStale } from "../../src/command/cleanup/cleanup_stale.ts";
import type { HostFacts } from "../../src/leftovers/leftover_facts.ts";
import { formatAddress } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { Libc } from "../../src/linux/libc.ts";
import { dumpNeighbourAddresses } from "../../src/rtnetlink/neighbour.ts";
import { dumpLinks } from "../../src/rtnetlink/link.ts";
import { cleanup, Pods } from "./cleanup_pods.ts";

const OLD_S = Date.now() / 1000 - 3600;
const signal = new AbortController().signal;

Deno.test("cleanup --stale releases pods whose links are gone, by the delegate, and no other", async () => {
  await using pods = await Pods.create();
  for (const name of ["lives", "vanished", "young", "uncached"]) await pods.attach(name);
  for (const name of ["vanished", "young", "uncached"]) await pods.vanish(name);
  for (const name of ["lives", "vanished", "uncached"]) await pods.age(name, OLD_S);
  await Deno.remove(`${pods.resultsDir}/cbr0-uncached-eth0`);

  const dry = await cleanup(pods.netns, "--stale", "--dry-run", ...pods.flags);
  assertEquals([dry.code, dry.stderr], [0, ""]);
  assertMatch(
    dry.stdout,
    /^cbr0 +vanished +eth0 +10\.244\.1\.3 +would be released +its link veth\w+ is gone$/m,
  );
  assertEquals(await pods.addresses(), ["10.244.1.2", "10.244.1.3", "10.244.1.4", "10.244.1.5"]);

  const real = await cleanup(pods.netns, "--stale", ...pods.flags);
  assertEquals(words(real.stdout), words(dry.stdout.replaceAll("would be released", "released")));
  assertStringIncludes(real.stdout, "1 released, 3 left alone: 1 in use; ");
  assertEquals(await pods.addresses(), ["10.244.1.2", "10.244.1.4", "10.244.1.5"]);
  assertEquals(await pods.states(), ["lives", "uncached", "young"]);

  const again = await cleanup(pods.netns, "--stale", ...pods.flags);
  assertMatch(again.stdout, /^0 released, 3 left alone: /);
  await pods.ping("lives");
});

Deno.test("cleanup --stale releases the address of a pod that the runtime attached without the plugin", async () => {
  await using pods = await Pods.create();
  for (const name of ["lives", "vanished"]) await pods.attach(name, { hasState: false });
  await pods.vanish("vanished");
  for (const name of ["lives", "vanished"]) await pods.age(name, OLD_S);
  // No plugin is called: there is none in that folder.
  const { code, stdout } = await cleanup(pods.netns, "--stale", ...pods.flags, `--cni-path=${pods.folder}`);
  assertEquals([code, await pods.addresses()], [0, ["10.244.1.2"]], stdout);
});

Deno.test("cleanup --stale touches no network that is not in a state file, unless it is named", async () => {
  await using pods = await Pods.create();
  await pods.attach("vanished", { network: "blue", hasState: false });
  await pods.vanish("vanished");
  await pods.age("vanished", OLD_S);
  const others = await cleanup(pods.netns, "--stale", ...pods.flags);
  assertEquals([others.stdout, await pods.addresses("blue")], ["0 released, 0 left alone\n", ["10.9.0.2"]]);
  const named = await cleanup(pods.netns, "--stale", "--network=blue", ...pods.flags);
  assertEquals(await pods.addresses("blue"), [], named.stdout);
});

Deno.test("cleanup --stale says what it could not release, ends with 1, and does it the next time", async () => {
  await using pods = await Pods.create();
  await pods.attach("vanished");
  await pods.vanish("vanished");
  await pods.age("vanished", OLD_S);
  const failed = await cleanup(pods.netns, "--stale", ...pods.flags, `--cni-path=${pods.folder}`);
  assertEquals(failed.code, 1);
  assertStringIncludes(
    failed.stdout,
    `not released  Cannot detach vanished eth0: failed to find plugin "bridge"`,
  );
  assertEquals([await pods.addresses(), await pods.states()], [["10.244.1.2"], ["vanished"]]);
  assertEquals((await cleanup(pods.netns, "--stale", ...pods.flags)).code, 0);
  assertEquals([await pods.addresses(), await pods.states()], [[], []]);
});

Deno.test("cleanup --stale releases what is left from before boot, unless its address has answered since", async () => {
  await using pods = await Pods.create();
  for (const name of ["answers", "silent"]) await pods.attach(name, { hasState: false });
  await pods.ping("answers");
  for (const name of ["answers", "silent"]) {
    await pods.age(name, OLD_S);
    await Deno.remove(`${pods.resultsDir}/cbr0-${name}-eth0`);
  }
  using libc = new Libc();
  using transport = pods.netns.openTransport(libc);
  const client = new NetlinkClient(transport);
  const nowMs = Date.now();
  const host = (): HostFacts => ({
    links: new Map(dumpLinks(client).map(({ name, kind }) => [name, kind])),
    neighbours: dumpNeighbourAddresses(client),
    nowMs,
    bootedAtMs: nowMs - 60_000,
    isThere: () => false,
  });
  const lines: string[] = [];
  const options = readCleanupOptions(["--stale", ...pods.flags], {})!;
  assertEquals(
    await cleanUpStale(options, { write: (line) => void lines.push(line), host }, { signal }),
    true,
  );
  assertEquals(await pods.addresses(), ["10.244.1.2"]);
  assertEquals(words(lines.join("\n")).split("\n").slice(1), [
    "cbr0 silent eth0 10.244.1.3 released left from before this host booted",
    "1 released, 1 left alone: 1 no cached result, but the address has answered",
  ]);
});

Deno.test("cleanups, attaching and detaching pods at the same time lose no pod and leave nothing of the vanished", async () => {
  await using pods = await Pods.create();
  const vanished = ["v1", "v2", "v3", "v4"];
  for (const name of vanished) await pods.attach(name);
  for (const name of vanished) await pods.vanish(name);
  for (const name of vanished) await pods.age(name, OLD_S);
  const attached = ["a1", "a2", "a3"];
  const ended = await Promise.all([
    ...[1, 2, 3].map(() => cleanup(pods.netns, "--stale", ...pods.flags)),
    // The runtime comes back to some of the vanished too.
    ...["v1", "v3"].map((name) => pods.call("DEL", name)),
    ...attached.map(async (name) => {
      await pods.attach(name);
      return { code: 0, stdout: "" };
    }),
  ]);
  assertEquals(ended.map(({ code }) => code).filter((code) => code !== 0), [], JSON.stringify(ended));
  assertEquals((await pods.addresses()).length, attached.length);
  assertEquals(await pods.states(), attached);
  for (const name of attached) await pods.ping(name);
});

Deno.test("dumpLinks() and dumpNeighbourAddresses() see what ip sees", async () => {
  await using pods = await Pods.create();
  await pods.attach("lives");
  await pods.ping("lives");
  await pods.netns.ip("neighbour", "add", "fd00::9", "lladdr", "02:00:00:00:00:09", "dev", "cni0");
  await pods.netns.ip("neighbour", "add", "10.244.1.99", "dev", "cni0", "nud", "failed");
  using libc = new Libc();
  using transport = pods.netns.openTransport(libc);
  const client = new NetlinkClient(transport);
  const links = dumpLinks(client);
  const bridge = links.find(({ name }) => name === "cni0")!;
  const shown = (await pods.netns.ipJson("link", "show")).map((link) =>
    `${link.ifname} ${link.master ?? ""}`
  );
  const master = (index: number) =>
    index === 0 ? "" : links.find(({ linkIndex }) => linkIndex === index)!.name;
  assertEquals(
    links.map(({ name, masterIndex }) => `${name} ${master(masterIndex ?? 0)}`).sort(),
    shown.sort(),
  );
  assertEquals(links.filter(({ masterIndex }) => masterIndex === bridge.linkIndex).length, 1);
  const neighbours = [...dumpNeighbourAddresses(client)].map(formatAddress);
  for (const address of ["10.244.1.2", "fd00::9"]) assertEquals(neighbours.includes(address), true, address);
  assertEquals(neighbours.includes("10.244.1.99"), false, "nobody has answered for it");
});

/** Text with each run of blanks in its lines made one. */
function words(text: string): string {
  return text.replaceAll(/ +/g, " ");
}
