import { assertEquals, assertStringIncludes } from "@std/assert";
import { ruleLines } from "../double/flanneld_leaves.ts";
import { until } from "../double/overlay_rig.ts";
import { HandBackWorld, VXLAN } from "./hand_back_world.ts";

Deno.test("where what tells of the agent is gone, as after a boot, what Loden has left is found and told", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  await world.startAgent();
  await world.stopAgent();
  const rules = await ruleLines(world.run, "nftables");
  const subnetFile = await Deno.readTextFile(world.subnetFilePath);
  await Deno.remove(world.path("run"), { recursive: true });
  await Deno.mkdir(world.path("run"));
  const unmanaged = world.path("etc/NetworkManager/conf.d/zz-loden.conf");
  await Deno.rename(unmanaged, `${unmanaged}.kept`);
  await Deno.mkdir(world.path("etc/cni"));
  await Deno.rename(world.path("net.d"), world.path("etc/cni/net.d"));
  await Deno.mkdir(world.path("net.d"));
  const { code, stdout } = await world.handBack();
  assertEquals(code, 1, stdout);
  for (
    const sentence of [
      "Cannot turn conflist /etc/cni/net.d/10-flannel.conflist: ",
      "Cannot turn table ip loden-10.244.0.0-16: ",
      "Cannot turn route 10.244.2.0/24: ",
      "-subnet-file",
      "Not handed back",
    ]
  ) assertStringIncludes(stdout, sentence);
  assertEquals(await ruleLines(world.run, "nftables"), rules);

  // With another file that is some flanneld's it is still there.
  const other = subnetFile.replace(/FLANNEL_BACKEND.*\n/, "").replaceAll("10.244.", "10.9.");
  await Deno.writeTextFile(world.subnetFilePath, other);
  const second = await world.handBack();
  assertEquals(second.code, 1, second.stdout);
  assertStringIncludes(second.stdout, "Cannot turn table ip loden-10.244.0.0-16: ");
  assertStringIncludes(second.stdout, "-cni-conf=/etc/cni/net.d/10-flannel.conflist");

  // What outlives a boot goes, and is no reason to write rules beside flanneld's.
  await Deno.rename(`${unmanaged}.kept`, unmanaged);
  const { stdout: planned } = await world.handBack("--dry-run");
  assertStringIncludes(
    planned,
    "would remove network manager's file /etc/NetworkManager/conf.d/zz-loden.conf",
  );
  assertEquals(planned.includes("flanneld's"), false, planned);

  // And with its own all is handed back.
  await Deno.writeTextFile(world.subnetFilePath, subnetFile);
  const third = await world.handBack("-cni-conf=/etc/cni/net.d/10-flannel.conflist");
  assertEquals(third.code, 0, third.stdout);
  assertEquals((await world.handBack()).stdout, "nothing of ours is here\n");
});

Deno.test("where the configuration can't be read no rules of iptables are written beside flannel's tables of nftables", async () => {
  await using world = await HandBackWorld.create({ ...VXLAN, usesNftables: true });
  await world.startAgent();
  await world.stopAgent();
  await world.run("nft", "add", "table", "ip", "flannel-ipv4");
  await Deno.remove(world.path("net-conf.json"));
  const { code, stdout } = await world.handBack();
  assertEquals(code, 0, stdout);
  assertEquals((await ruleLines(world.run, "iptables")).filter((line) => line.includes("FLANNEL-")), []);
  assertStringIncludes(await world.run("nft", "list", "table", "ip", "flannel-ipv4"), "postrtg");
});

Deno.test("what an agent has that runs for another network is no reason to fail", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  await world.startAgent();
  const { code, stdout } = await world.handBack(`-subnet-file=${world.path("data/subnet.env")}`);
  assertEquals([code, stdout], [0, "nothing of ours is here\n"]);
});

Deno.test("a route that can't be turned keeps the host from being handed back, and what tells of Loden stays", async () => {
  await using world = await HandBackWorld.create({ ...VXLAN, isDual: true });
  await world.startAgent();
  await world.stopAgent();
  const route = ["fd00:10:244:2::/64", "via", "2001:db8::9", "proto", "static", "metric", "1024"];
  await world.run("ip", "-6", "route", "append", ...route);
  const files = await world.files();
  const { code, stdout } = await world.handBack();
  assertEquals(code, 1, stdout);
  assertStringIncludes(stdout, "Cannot turn route fd00:10:244:2::/64: ");
  assertEquals(await world.files(), files);
  await world.run("ip", "-6", "route", "del", ...route);
  const second = await world.handBack();
  assertEquals(second.code, 0, second.stdout);
});

for (const name of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`a hand-back that ${name} ends before it has begun says so, and ends with 1`, async () => {
    await using world = await HandBackWorld.create(VXLAN);
    await world.startAgent();
    await world.stopAgent();
    // A registry that takes connections and says nothing: nobody answers at an address of the link's own network.
    const flags = ["-etcd-endpoints=http://192.0.2.77:2379", "-local-registry="];
    const before = [await world.files(), await ruleLines(world.run, "nftables")];
    const child = new Deno.Command("ip", {
      args: ["netns", "exec", world.netns.name, ...world.command(...flags)],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    await until("see it ask the registry", async () => {
      const { stdout } = await world.netns.run("ss", "-tnH", "state", "syn-sent");
      return stdout.includes("192.0.2.77:2379") || undefined;
    });
    child.kill(name);
    const { code, stdout, stderr } = await child.output();
    const [said, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals([code, said], [1, ""], errors);
    assertStringIncludes(errors!, "it was asked to end before anything was done; run it again");
    assertEquals([await world.files(), await ruleLines(world.run, "nftables")], before);
  });
}

Deno.test("a pod whose ADD took longer than the hand-back is found by a later run, and what flannel's plugin has is not ours", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  await world.startAgent();
  await world.stopAgent();
  const rendered = await Deno.readTextFile(world.conflistPath);
  assertEquals((await world.handBack()).code, 0);
  await Deno.mkdir(world.path("networks/cbr0"));
  const result = (containerId: string, config: string) =>
    JSON.stringify({
      kind: "cniCacheV1",
      containerId,
      config: btoa(config),
      ifName: "eth0",
      networkName: "cbr0",
      result: {},
    });
  await Deno.writeTextFile(world.path("networks/cbr0/10.244.1.8"), "late\r\neth0");
  await Deno.writeTextFile(world.path("results/cbr0-late-eth0"), result("late", rendered));
  await Deno.writeTextFile(world.path("networks/cbr0/10.244.1.9"), "flannels\r\neth0");
  await Deno.writeTextFile(world.path("results/cbr0-flannels-eth0"), result("flannels", world.source));
  // It was detached by what is called now, and the runtime's note of it is left.
  await Deno.writeTextFile(world.path("results/cbr0-gone-eth0"), result("gone", rendered));
  const again = await world.handBack(`-cni-conf=${world.conflistPath}`);
  assertEquals([again.code, again.stdout], [
    0,
    `wrote state of a pod in ${world.path("data")}, as flannel's plugin keeps it\n`,
  ]);
  assertEquals((await world.files()).filter((path) => path.startsWith("data/")), ["data/late"]);
  assertStringIncludes(await Deno.readTextFile(world.path("data/late")), '"type":"bridge"');
});
