import { assertEquals, assertStringIncludes } from "@std/assert";
import { flanneldLeaves, ruleLines } from "../double/flanneld_leaves.ts";
import { HandBackWorld, VXLAN } from "./hand_back_world.ts";

/** As where no program of an administrator is, which the image has none of. */
const WITHOUT_PROGRAMS = 'mount --bind "$1" /usr/sbin; shift; unset DENO_TLS_CA_STORE; exec "$@"';

Deno.test("hand-back says that flanneld does not know a backend, and what to write instead", async () => {
  await using world = await HandBackWorld.create({ ...VXLAN, backend: { Type: "auto" } });
  await world.startAgent();
  await world.stopAgent();
  const { code, stdout } = await world.handBack();
  assertEquals(code, 0, stdout);
  assertStringIncludes(
    stdout,
    "left alone: Type auto in the network configuration, which flanneld does not know and ends at: " +
      'write vxlan with "DirectRouting": true',
  );
});

Deno.test("on a host of legacy iptables without its program it is said how it can end, which it can", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  await world.run("iptables-legacy", "-P", "FORWARD", "DROP");
  await world.startAgent();
  await world.stopAgent();
  await Deno.mkdir(world.path("empty"));
  const handBack = (...args: string[]) =>
    world.netns.run("sh", "-ec", WITHOUT_PROGRAMS, "sh", world.path("empty"), ...world.command(...args));
  const first = await handBack();
  assertEquals(first.code, 1);
  assertStringIncludes(first.stdout, "(Loden's image has none): run this on the host itself");
  assertStringIncludes(first.stdout, "or with --rules=iptables");
  const second = await handBack("--rules=iptables");
  assertEquals(second.code, 0, second.stdout);
  const native = (await ruleLines(world.run, "iptables")).filter((line) => !line.startsWith("-P "));
  const expected = (await flanneldLeaves("iptables-ipv4")).filter((line) => !line.startsWith("-P "));
  assertEquals(native, expected);
  const again = await handBack("--rules=iptables", "--dry-run");
  assertEquals([again.code, again.stdout], [0, "nothing of ours is here\n"]);
});
