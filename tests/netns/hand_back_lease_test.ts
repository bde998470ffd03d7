import { assertEquals, assertMatch } from "@std/assert";
import { planLease } from "../../src/command/hand_back/hand_back_lease.ts";
import { type Options, parseOptions } from "../../src/config/options.ts";
import { Libc } from "../../src/linux/libc.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { EtcdServer } from "../double/etcd.ts";
import { createUnderlayLink, TestNetns } from "../double/netns.ts";
import { flannelValue } from "../registry/etcd/etcd_world.ts";

/** The agent's options; no file of a machine's id is read. */
function optionsOf(...flags: string[]): Options {
  const outcome = parseOptions(["-machine-id-file=", ...flags], {});
  if (outcome.kind !== "run") throw new Error("they ask for no agent");
  return outcome.options;
}

async function plan(
  options: Options,
  carryOut = false,
): Promise<{ steps: string[]; kept: readonly string[] }> {
  using stack = new DisposableStack();
  const libc = stack.use(new Libc());
  await using netns = await TestNetns.create();
  await createUnderlayLink(netns, { name: "eth0", address4: "192.0.2.1/24" });
  const client = new NetlinkClient(stack.use(netns.openTransport(libc)));
  const { signal } = new AbortController();
  const { steps, kept } = await planLease(options, {
    client,
    environment: { NODE_NAME: "n1" },
    stack,
    signal,
  });
  if (carryOut) { for (const step of steps) await step.run(); }
  return { steps: steps.map(({ verb, object }) => `${verb} ${object}`), kept };
}

Deno.test("the own lease in etcd is left without what flanneld does not know, and no other host's", async () => {
  await using server = await EtcdServer.open();
  const withOrigin = (address: string) =>
    flannelValue(address).replace(/\}$/, ',"LodenOrigin":{},"LodenSince":{"a":1}}');
  await server.put("/n/config", "{}");
  await server.put("/n/subnets/10.5.1.0-24", withOrigin("192.0.2.1"));
  await server.put("/n/subnets/10.5.2.0-24", withOrigin("192.0.2.2"));
  const options = {
    ...optionsOf("-etcd-prefix=/n"),
    registry: { kind: "etcd", prefix: "/n", ...server.access },
  } as Options;
  const steps = ["turn lease /n/subnets/10.5.1.0-24 into flanneld's, as it stands"];
  assertEquals(await plan(options), { steps, kept: [] });
  assertEquals(await plan(options, true), { steps, kept: [] });
  const values = await server.list("/n/subnets");
  assertEquals(values["/n/subnets/10.5.1.0-24"], flannelValue("192.0.2.1"));
  assertEquals(values["/n/subnets/10.5.2.0-24"], withOrigin("192.0.2.2"));
  assertEquals(await plan(options), { steps: [], kept: [] });
});

Deno.test("of an etcd that does not answer it is said what stays in it", async () => {
  const { steps, kept } = await plan(optionsOf("-etcd-endpoints=http://127.0.0.1:1"));
  assertEquals([steps, kept.length], [[], 1]);
  assertMatch(
    kept[0]!,
    /^LodenOrigin and LodenSince in this host's lease \(.+\): flanneld does not look at them/,
  );
});

Deno.test("of an API server that does not answer it is said what removes the annotations", async () => {
  const { steps, kept } = await plan(optionsOf("-kube-subnet-mgr", "-kube-api-url=http://127.0.0.1:1"));
  assertEquals([steps, kept.length], [[], 1]);
  const [origin, since] = ["origin", "since"].map((name) => `flannel.alpha.coreos.com/loden-${name}`);
  assertMatch(kept[0]!, new RegExp(`; kubectl annotate node NAME ${origin}- ${since}- removes them$`));
});

Deno.test("of a local registry it is said that flanneld knows none of the kind", async () => {
  const { steps, kept } = await plan(optionsOf("-local-registry=/nowhere/leases.db"));
  assertEquals([steps, kept], [[], [
    "lease registry /nowhere/leases.db: flanneld knows none of the kind; give it etcd or Kubernetes",
  ]]);
});
