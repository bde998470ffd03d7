import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { toBase64 } from "../../../src/registry/etcd/etcd_wire.ts";
import { findApiServer } from "../../../src/registry/kube/kube_config.ts";
import { KubeAnnouncer } from "../../../src/registry/kube/kube_announcer.ts";
import { type Json, refusal } from "../../double/api_objects.ts";
import { FLANNEL_RULES } from "../../double/api_server.ts";
import {
  bareNode,
  describe,
  KEYS,
  KubeHost,
  memberAnnotations,
  memberNode,
  onBothServers,
  onTheDouble,
  onTheRealServer,
  PREFIX,
  request,
  signal,
  until,
  useRealServer,
} from "./servers.ts";
import { parsePrefix } from "../../../src/model/address.ts";

useRealServer();

const N1 = "n1 10.244.1.0/24 at 192.0.2.1 by 0e:00:00:00:00:01";
const N2 = "n2 10.244.2.0/24 at 192.0.2.2 by 0e:00:00:00:00:01";
const N3 = "n3 10.244.3.0/24 at 192.0.2.3 by 0e:00:00:00:00:01";

/** All but since when: that is the server's time and this host's. */
function annotationsOf(node: Json | undefined): unknown {
  const { [KEYS.since]: _, ...others } = (node?.metadata as Json | undefined)?.annotations as Json;
  return others;
}

onBothServers("acquire() writes flanneld's annotations, and nothing where they are there", async (server) => {
  await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
  await using host = new KubeHost(server);
  assertEquals(await host.registry.previous(request("192.0.2.1"), { signal }), undefined);
  assertEquals(describe(await host.registry.acquire(request("192.0.2.1"), { signal })), N1);
  const node = await server.node("n1");
  assertEquals(annotationsOf(node), memberAnnotations("192.0.2.1"));
  await host.registry.acquire(request("192.0.2.1"), { signal });
  assertEquals(await server.node("n1"), node);
  assertEquals(describe((await host.registry.previous(request("192.0.2.1"), { signal }))!), N1);
});

onBothServers("acquire() in dual stack writes both parts", async (server) => {
  await server.createNode(bareNode("n1", ["10.244.1.0/24", "fd00:10:244:1::/64"]));
  await using host = new KubeHost(server, {
    networks: [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/48")],
  });
  const lease = await host.registry.acquire(request("192.0.2.1", "2001:db8::1"), { signal });
  assertEquals(describe(lease), `${N1} fd00:10:244:1::/64 at 2001:db8::1 by 0e:00:00:00:00:01`);
  assertEquals(annotationsOf(await server.node("n1")), {
    ...memberAnnotations("192.0.2.1"),
    [KEYS.address[10]]: "2001:db8::1",
    [KEYS.data[10]]: '{"VNI":1,"VtepMAC":"0e:00:00:00:00:01"}',
  });
});

onBothServers("acquire() leaves annotations of others alone", async (server) => {
  const node = bareNode("n1", ["10.244.1.0/24"]);
  const foreign = { "example.com/a": "1", "example.com/ü": "€" };
  await server.createNode({
    ...node,
    metadata: { ...node.metadata as Json, annotations: { "example.com/a": "1" } },
  });
  await using host = new KubeHost(server);
  await host.registry.acquire(request("192.0.2.1"), { signal });
  assertEquals(annotationsOf(await server.node("n1")), {
    "example.com/a": foreign["example.com/a"],
    ...memberAnnotations("192.0.2.1"),
  });
});

onBothServers("the node's own name comes from the pod that runs there", async (server) => {
  await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
  await server.createPod("default", "flannel-x", "n1");
  await using host = new KubeHost(server, { identity: { podNamespace: "default", podName: "flannel-x" } });
  assertEquals(host.registry.host, undefined);
  await host.registry.acquire(request("192.0.2.1"), { signal });
  assertEquals(host.registry.host, "n1");
});

onBothServers("addresses that an operator wrote into the node are found", async (server) => {
  const node = bareNode("n1", ["10.244.1.0/24"]);
  const annotations = { [KEYS.nodeAddress[2]]: "198.51.100.1", [KEYS.nodeAddress[10]]: "no address" };
  await server.createNode({ ...node, metadata: { ...node.metadata as Json, annotations } });
  await using host = new KubeHost(server);
  await host.registry.previous(request("192.0.2.1"), { signal });
  assertEquals([host.registry.publicAddress(2), host.registry.publicAddress(10)], [0xc6336401, undefined]);
  assertEquals(host.registry.conditions, [{
    code: "annotation-wrong",
    sentence: `node n1: annotation ${
      KEYS.nodeAddress[10]
    } must be an IPv6 address, is "no address"; it is not heeded`,
  }]);
});

const refusals: [
  name: string,
  prepare: (server: Parameters<Parameters<typeof onBothServers>[1]>[0]) => Promise<void>,
  message: RegExp,
  token?: "nobody",
][] = [
  [
    "there is no such node",
    () => Promise.resolve(),
    /^Cannot read node n1: the API server answers: nodes "n1" not found; NODE_NAME must be a node's name/,
  ],
  [
    "its node has no podCIDR",
    (server) => server.createNode(bareNode("n1")),
    /node n1 has no podCIDR: the controller manager gives it one if it runs with --allocate-node-cidrs=true/,
  ],
  [
    "its podCIDR lies outside of the network",
    (server) => server.createNode(bareNode("n1", ["10.42.1.0/24"])),
    /podCIDR 10\.42\.1\.0\/24 of node n1 is not in Network 10\.244\.0\.0\/16/,
  ],
  [
    "it may not read nodes",
    (server) => server.createNode(bareNode("n1", ["10.244.1.0/24"])),
    /^Cannot read node n1: the API server answers: nodes "n1" is forbidden: User "nobody" cannot get resource "nodes" in API group "" at the cluster scope; give the service account get, list and watch on nodes/,
    "nobody",
  ],
  [
    "it may not write its node",
    async (server) => {
      await server.permitAgent({ nodes: ["get", "list", "watch"] });
      await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
    },
    /^Cannot write the lease of node n1: the API server answers: nodes "n1" is forbidden: User "agent" cannot patch resource "nodes\/status"/,
  ],
];

for (const [name, prepare, message, token] of refusals) {
  onBothServers(`acquire() says what to do when ${name}`, async (server) => {
    await prepare(server);
    await using host = new KubeHost(server, token === undefined ? {} : { token: server.tokens[token] });
    const error = await assertRejects(() => host.registry.acquire(request("192.0.2.1"), { signal }), Error);
    assertMatch(error.message, message);
  });
}

onBothServers("acquire() says what to do about a token that is not accepted", async (server) => {
  await using host = new KubeHost(server, { token: "stale" });
  const error = await assertRejects(() => host.registry.acquire(request("192.0.2.1"), { signal }), Error);
  assertEquals(
    error.message,
    "Cannot read node n1: the API server answers: Unauthorized; its token or certificate is not accepted there; is it of this cluster, and still valid?",
  );
});

onBothServers("a token that was replaced in its file is read again", async (server) => {
  await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
  const tokenFile = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(tokenFile, "stale\n");
    await using host = new KubeHost(server, { tokenFile });
    await assertRejects(() => host.registry.acquire(request("192.0.2.1"), { signal }), Error);
    await Deno.writeTextFile(tokenFile, `${server.tokens.agent}\n`);
    await host.registry.acquire(request("192.0.2.1"), { signal });
  } finally {
    await Deno.remove(tokenFile);
  }
});

for (
  const [what, inFile, inline] of [
    ["a file with a token", "agent", "stale"],
    ["no file", undefined, "agent"],
    ["an empty file", "", "agent"],
  ] as const
) {
  onBothServers(`of two tokens that of the file counts, else the inline one: ${what}`, async (server) => {
    await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
    const folder = await Deno.makeTempDir();
    const tokenFile = `${folder}/token`;
    const { agent } = server.tokens;
    try {
      if (inFile !== undefined) {
        await Deno.writeTextFile(tokenFile, inFile === "agent" ? `${agent}\n` : inFile);
      }
      await using host = new KubeHost(server, { tokenFile, token: inline === "agent" ? agent : inline });
      await host.registry.acquire(request("192.0.2.1"), { signal });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

onBothServers(
  "watch() tells of all leases, then of each change, and leaves out who is no member",
  async (server) => {
    await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
    await server.createNode(bareNode("stranger", ["10.244.9.0/24"]));
    await using host = new KubeHost(server);
    host.follow();
    await host.sees(N2);
    await server.createNode(memberNode("n3", "10.244.3.0/24", "192.0.2.3"));
    await host.sees(N2, N3);
    await server.patchNode("n2", {
      metadata: { annotations: { [KEYS.data[2]]: '{"VtepMAC":"0e:00:00:00:00:99"}' } },
    });
    await host.sees("n2 10.244.2.0/24 at 192.0.2.2 by 0e:00:00:00:00:99", N3);
    await server.patchNode("n3", { metadata: { annotations: { [KEYS.managed]: null } } });
    await host.sees("n2 10.244.2.0/24 at 192.0.2.2 by 0e:00:00:00:00:99");
    await server.deleteNode("n2");
    await host.sees();
    assertEquals([host.registry.contact.reason, host.said], [undefined, []]);
  },
);

onBothServers("watch() sees a change in one family only", async (server) => {
  const node = memberNode("n2", "10.244.2.0/24", "192.0.2.2");
  const annotations = {
    ...memberAnnotations("192.0.2.2"),
    [KEYS.address[10]]: "2001:db8::2",
    [KEYS.data[10]]: '{"VtepMAC":"0e:00:00:00:00:01"}',
  };
  const podCIDRs = ["10.244.2.0/24", "fd00:10:244:2::/64"];
  await server.createNode({
    metadata: { ...node.metadata as Json, annotations },
    spec: { podCIDR: podCIDRs[0], podCIDRs },
  });
  await using host = new KubeHost(server);
  host.follow();
  await host.sees(`${N2} fd00:10:244:2::/64 at 2001:db8::2 by 0e:00:00:00:00:01`);
  await server.patchNode("n2", { metadata: { annotations: { [KEYS.address[10]]: "2001:db8::22" } } });
  await host.sees(`${N2} fd00:10:244:2::/64 at 2001:db8::22 by 0e:00:00:00:00:01`);
  await server.patchNode("n2", { metadata: { annotations: { [KEYS.address[2]]: "192.0.2.22" } } });
  await host.sees(
    "n2 10.244.2.0/24 at 192.0.2.22 by 0e:00:00:00:00:01 fd00:10:244:2::/64 at 2001:db8::22 by 0e:00:00:00:00:01",
  );
});

onBothServers(
  "watch() sees a podCIDR that comes late, and that of a node that was made again",
  async (server) => {
    const { metadata } = memberNode("n2", "", "192.0.2.2");
    await server.createNode({ metadata, spec: {} });
    await using host = new KubeHost(server);
    host.follow();
    await host.sees();
    await until("hear of the fault", () => host.registry.faults.length === 1 || undefined);
    assertEquals(host.registry.faults, [{ host: "n2", reason: "its node has no podCIDR yet" }]);
    await server.patchNode("n2", { spec: { podCIDR: "10.244.2.0/24", podCIDRs: ["10.244.2.0/24"] } });
    await host.sees(N2);
    assertEquals(host.registry.faults, []);
    await server.deleteNode("n2");
    await server.createNode(memberNode("n2", "10.244.77.0/24", "192.0.2.2"));
    await host.sees("n2 10.244.77.0/24 at 192.0.2.2 by 0e:00:00:00:00:01");
  },
);

onBothServers("watch() lets one bad node cost that node only", async (server) => {
  await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
  await using host = new KubeHost(server);
  host.follow();
  await host.sees(N2);
  for (const value of ["{", "x".repeat(200_000), "$(reboot)", '"\u2028\u0000é'.replace("\u0000", "")]) {
    await server.patchNode("n2", { metadata: { annotations: { [KEYS.data[2]]: value } } });
    await host.sees();
    assertEquals(host.registry.faults.map(({ host }) => host), ["n2"]);
    await server.patchNode("n2", {
      metadata: { annotations: { [KEYS.data[2]]: '{"VtepMAC":"0e:00:00:00:00:01"}' } },
    });
    await host.sees(N2);
  }
});

onBothServers("watch() goes on when the API server was away, and says so", async (server) => {
  await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
  await using host = new KubeHost(server);
  host.follow();
  await host.sees(N2);
  await server.stop();
  const reason = await until("notice", () => host.registry.contact.reason);
  assertMatch(
    reason,
    /^Cannot follow the nodes: the API server (at 127\.0\.0\.1:\d+ does not answer: .*; look at the test|https?:.*)$/,
  );
  const heardAtMs = host.registry.contact.heardAtMs!;
  await server.start();
  await server.createNode(memberNode("n3", "10.244.3.0/24", "192.0.2.3"));
  await host.sees(N2, N3);
  assert(host.registry.contact.heardAtMs! > heardAtMs);
  assertEquals(host.registry.contact.reason, undefined);
});

onBothServers("watch() says why it can't, and goes on when it may", async (server) => {
  await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
  await server.permitAgent({ nodes: ["get"] });
  await using host = new KubeHost(server);
  host.follow();
  const reason = await until("notice", () => {
    const { reason } = host.registry.contact;
    return reason?.includes("forbidden") ? reason : undefined;
  });
  assertMatch(
    reason,
    /^Cannot follow the nodes: the API server answers: nodes is forbidden: User "agent" cannot list resource "nodes" in API group "" at the cluster scope; give the service account get, list and watch on nodes/,
  );
  await server.permitAgent(FLANNEL_RULES);
  await host.sees(N2);
});

onBothServers(
  "watch() tells whom it lists where it may not watch, and why it hears nothing",
  async (server) => {
    await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
    await server.permitAgent({ nodes: ["get", "list"] });
    await using host = new KubeHost(server);
    host.follow();
    await host.sees(N2);
    const reason = await until("notice", () => host.registry.contact.reason);
    assertMatch(reason, /User "agent" cannot watch resource "nodes"/);
  },
);

onBothServers("watch() begins with all nodes, however many", async (server) => {
  const expected: string[] = [];
  for (let n = 10; n < 31; n++) {
    await server.createNode(memberNode(`n${n}`, `10.244.${n}.0/24`, `192.0.2.${n}`));
    expected.push(`n${n} 10.244.${n}.0/24 at 192.0.2.${n} by 0e:00:00:00:00:01`);
  }
  await using host = new KubeHost(server, { pageSize: 4 });
  host.follow();
  await host.sees(...expected);
  assertEquals(host.updates.length, 1, "one snapshot of all");
});

onBothServers(
  "the own node is looked at as it passes by: a podCIDR, an overwritten address",
  async (server) => {
    await server.createNode(bareNode("n1"));
    await using host = new KubeHost(server);
    await assertRejects(() => host.registry.acquire(request("192.0.2.1"), { signal }), Error, "no podCIDR");
    host.follow();
    await host.sees();
    await server.patchNode("n1", { spec: { podCIDR: "10.244.1.0/24", podCIDRs: ["10.244.1.0/24"] } });
    await until("hear of the podCIDR", () => host.ownChanges === 1 || undefined);
    await host.registry.acquire(request("192.0.2.1"), { signal });
    await host.sees(N1);
    await server.patchNode("n1", { status: { conditions: [{ type: "Ready", status: "True" }] } }, "status");
    await server.patchNode("n1", { metadata: { annotations: { [KEYS.overwrite[2]]: "198.51.100.1" } } });
    await until(
      "hear of the address",
      () => host.ownChanges === 2 || undefined,
      () => String(host.ownChanges),
    );
    await host.registry.acquire(request("192.0.2.1"), { signal });
    await host.sees("n1 10.244.1.0/24 at 198.51.100.1 by 0e:00:00:00:00:01");
    assertEquals(host.ownChanges, 2, "its own writes, and what does not concern the lease, are no news");
  },
);

onBothServers(
  "the condition NetworkUnavailable is cleared as flanneld does, and again when it is set",
  async (server) => {
    await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
    await server.patchNode("n1", {
      status: { conditions: [{ type: "NetworkUnavailable", status: "True", reason: "NoRouteCreated" }] },
    }, "status");
    await using host = new KubeHost(server);
    let elapsedMs = 0;
    const deps = {
      now: () => Date.parse("2026-01-02T03:04:05.678Z"),
      elapsedMs: () => elapsedMs,
      log: host.log,
    };
    const announcer = new KubeAnnouncer(host.registry, deps, { clearsCondition: true });
    const condition = async () =>
      (((await server.node("n1"))!.status as Json).conditions as Json[]).find(({ type }) =>
        type === "NetworkUnavailable"
      );
    await announcer.look({ isReady: false, reasons: ["no lease"] }, { signal });
    assertEquals((await condition())!.status, "True");
    await announcer.look({ isReady: true, reasons: [] }, { signal });
    assertEquals(await condition(), {
      type: "NetworkUnavailable",
      status: "False",
      reason: "FlannelIsUp",
      message: "Flannel is running on this node",
      lastHeartbeatTime: "2026-01-02T03:04:05Z",
      lastTransitionTime: "2026-01-02T03:04:05Z",
    });
    await server.patchNode(
      "n1",
      { status: { conditions: [{ type: "NetworkUnavailable", status: "True" }] } },
      "status",
    );
    await announcer.look({ isReady: true, reasons: [] }, { signal });
    assertEquals((await condition())!.status, "True", "it is not asked every second");
    elapsedMs = 400_000;
    await announcer.look({ isReady: true, reasons: [] }, { signal });
    assertEquals((await condition())!.status, "False");
  },
);

onBothServers("a condition NetworkUnavailable that can't be cleared is told until it can", async (server) => {
  await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
  await server.permitAgent({ nodes: ["get"] });
  await using host = new KubeHost(server);
  let elapsedMs = 0;
  const deps = { now: () => Date.now(), elapsedMs: () => elapsedMs, log: host.log };
  const announcer = new KubeAnnouncer(host.registry, deps, { clearsCondition: true });
  await announcer.look({ isReady: true, reasons: [] }, { signal });
  const [condition] = announcer.conditions;
  assertEquals(condition?.code, "node-condition-not-cleared");
  assertMatch(condition!.sentence, /^the condition NetworkUnavailable of node n1 can't be cleared: /);
  await server.permitAgent(FLANNEL_RULES);
  elapsedMs = 5000;
  await announcer.look({ isReady: true, reasons: [] }, { signal });
  assertEquals([announcer.conditions, host.said.map(({ event }) => event)], [[], ["node condition cleared"]]);
});

onTheDouble("a condition that can't be cleared is tried ever more rarely", async (server) => {
  await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
  await using host = new KubeHost(server, { token: "stale" });
  const deps = { now: () => Date.now(), elapsedMs: () => elapsedMs, random: () => 0, log: host.log };
  let elapsedMs = 0;
  const announcer = new KubeAnnouncer(host.registry, deps, { clearsCondition: true });
  for (; elapsedMs < 600_000; elapsedMs += 1000) {
    await announcer.look({ isReady: true, reasons: [] }, { signal });
  }
  assertEquals(announcer.conditions[0]?.code, "node-condition-not-cleared");
  // Every 5 s it would be 120 times.
  assertEquals(server.requests.length, 14);
});

onBothServers(
  "what stands in the way for long is an Event of the node, where that is allowed",
  async (server) => {
    await server.createNode(bareNode("n1"));
    await using host = new KubeHost(server);
    let elapsedMs = 0;
    const deps = { now: () => Date.now(), elapsedMs: () => elapsedMs, log: host.log };
    const announcer = new KubeAnnouncer(host.registry, deps, { clearsCondition: true });
    const say = async (reason: string, atMs: number) => {
      elapsedMs = atMs;
      await announcer.look({ isReady: false, reasons: [reason, "and more"] }, { signal });
    };
    const messages = async () =>
      (await server.events()).filter(({ reason }) => reason === "PodNetworkNotReady").map(({ message }) =>
        message
      );
    await say("no lease", 0);
    await say("no lease", 11_000);
    assertEquals(await messages(), [], "the agent may not write events yet");
    await server.permitAgent({ ...FLANNEL_RULES, events: ["create"] });
    await say("no lease", 100_000);
    assertEquals(await messages(), [], "what was forbidden is not tried often");
    await say("no lease", 700_000);
    assertEquals(await messages(), ["no lease"]);
    await say("no lease", 750_000);
    await say("no link", 760_000);
    // The server lists events by name, and names are random.
    assertEquals((await messages()).sort(), ["no lease", "no link"]);
    const event = (await server.events()).find(({ message }) => message === "no link")!;
    assertEquals([event.type, (event.involvedObject as Json).kind, (event.involvedObject as Json).name], [
      "Warning",
      "Node",
      "n1",
    ]);
  },
);

onBothServers(
  "what is to be done on a host that is ready is an Event of its own, once until it changes",
  async (server) => {
    await server.createNode(bareNode("n1"));
    await server.permitAgent({ ...FLANNEL_RULES, events: ["create"] });
    await using host = new KubeHost(server);
    let elapsedMs = 0;
    const deps = { now: () => Date.now(), elapsedMs: () => elapsedMs, log: host.log };
    const announcer = new KubeAnnouncer(host.registry, deps, { clearsCondition: false });
    const say = async (alerts: string[], atMs: number, isReady = true) => {
      elapsedMs = atMs;
      await announcer.look({ isReady, reasons: isReady ? [] : ["no port"], alerts }, { signal });
    };
    // The server is that of the other tests too.
    const events = async () =>
      (await server.events()).map(({ reason, message }) => `${reason}: ${message}`)
        .filter((event) => /: (?:\d pods|no port)$/.test(event)).sort();
    await say([], 0);
    await say(["3 pods"], 1000);
    await say(["3 pods"], 2000);
    await say(["2 pods"], 3000);
    assertEquals(await events(), ["PodsMustBeRecreated: 3 pods"]);
    await say(["2 pods"], 40_000, false);
    await say([], 60_000, false);
    assertEquals(await events(), [
      "PodNetworkNotReady: no port",
      "PodsMustBeRecreated: 2 pods",
      "PodsMustBeRecreated: 3 pods",
    ]);
  },
);

onTheDouble(
  "watch() lists anew when what it resumes from is forgotten, and sees what changed in the gap",
  async (server) => {
    await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
    await server.createNode(memberNode("n3", "10.244.3.0/24", "192.0.2.3"));
    await server.createNode(memberNode("n1", "10.244.1.0/24", "192.0.2.1"));
    await using host = new KubeHost(server);
    host.follow();
    await host.sees(N1, N2, N3);
    await server.stop();
    await server.deleteNode("n3");
    await server.patchNode("n2", {
      metadata: { annotations: { [KEYS.data[2]]: '{"VtepMAC":"0e:00:00:00:00:99"}' } },
    });
    server.compact();
    await server.start();
    await host.sees(N1, "n2 10.244.2.0/24 at 192.0.2.2 by 0e:00:00:00:00:99");
    assertEquals(host.updates.filter(({ kind }) => kind === "snapshot").length, 2);
  },
);

onTheDouble(
  "watch() reads lists and events that are cut anywhere, also inside a character",
  async (server) => {
    const odd = memberNode("n2", "10.244.2.0/24", "192.0.2.2");
    (odd.metadata as Json).labels = { "example.com/ünï": "€𐍈" };
    for (const chunkBytes of [1, 7, 64]) {
      server.chunkBytes = chunkBytes;
      await server.createNode(odd);
      await using host = new KubeHost(server);
      host.follow();
      await host.sees(N2);
      await server.createNode(memberNode("n3", "10.244.3.0/24", "192.0.2.3"));
      await host.sees(N2, N3);
      for (const name of ["n2", "n3"]) await server.deleteNode(name);
      await host.sees();
    }
  },
);

onTheDouble("watch() resumes from the last bookmark, so that nothing is listed anew", async (server) => {
  server.bookmarkMs = 20;
  await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
  await using host = new KubeHost(server);
  host.follow();
  await host.sees(N2);
  for (let n = 0; n < 5; n++) await server.createNode(bareNode(`stranger${n}`));
  const revision = Number(((await server.node("stranger4"))!.metadata as Json).resourceVersion);
  await until("be told how far the watch has come", () => server.bookmarked === revision || undefined);
  server.compact();
  server.dropWatches();
  await until("resume from the bookmark", () => {
    return server.requests.some((request) => request.includes(`resourceVersion=${revision}`)) || undefined;
  });
  await server.createNode(memberNode("n3", "10.244.3.0/24", "192.0.2.3"));
  await host.sees(N2, N3);
  assertEquals(host.updates.filter(({ kind }) => kind === "snapshot").length, 1);
});

onTheDouble("watch() begins a list again when its pages end in the middle", async (server) => {
  for (let n = 2; n < 6; n++) {
    await server.createNode(memberNode(`n${n}`, `10.244.${n}.0/24`, `192.0.2.${n}`));
  }
  await using host = new KubeHost(server, { pageSize: 2 });
  // What it has in its memory is behind: so pages are read.
  const behind = refusal(504, "Timeout", "Too large resource version: 9, current: 1");
  server.misdeeds.add({ kind: "list", refuse: behind });
  const expired = refusal(410, "Expired", "The provided continue parameter is too old");
  const push = server.requests.push.bind(server.requests);
  let isFirst = true;
  server.requests.push = (...requests: string[]) => {
    if (isFirst && requests[0]!.includes("continue=")) {
      isFirst = false;
      server.refusals.push(expired);
    }
    return push(...requests);
  };
  host.follow();
  await until("see all four", () => host.leases.all?.length === 4 || undefined);
  assertEquals([host.updates.length, isFirst], [1, false]);
});

onTheDouble("a server that is no API server is told of in one line", async (server) => {
  server.refusals.push(refusal(502, "", "<html>\n<h1>Bad Gateway</h1>"));
  await using host = new KubeHost(server);
  const error = await assertRejects(() => host.registry.acquire(request("192.0.2.1"), { signal }), Error);
  assertEquals(error.message, "Cannot read node n1: the API server answers: <html> <h1>Bad Gateway</h1>");
});

onTheRealServer(
  "a client certificate of a kubeconfig stands in for a token, and its lack is told",
  async (server) => {
    await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
    const { certPem, keyPem } = await server.authority.issue({ name: "agent", commonName: "agent" });
    const cluster = { server: server.url, "certificate-authority-data": toBase64(server.authority.caPem) };
    const accessOf = (user: Record<string, string>) => {
      const kubeconfig = JSON.stringify({
        "current-context": "c",
        contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
        clusters: [{ name: "c", cluster }],
        users: [{ name: "u", user }],
      });
      const deps = { environment: { KUBECONFIG: "/k" }, readTextFile: () => Promise.resolve(kubeconfig) };
      return findApiServer({ url: "", kubeconfigFile: "" }, deps);
    };
    const certificate = { "client-certificate-data": toBase64(certPem), "client-key-data": toBase64(keyPem) };
    {
      await using host = new KubeHost(server, { access: await accessOf(certificate) });
      assertEquals(describe(await host.registry.acquire(request("192.0.2.1"), { signal })), N1);
      host.follow();
      await host.sees(N1);
    }
    await using stranger = new KubeHost(server, { access: await accessOf({}) });
    const error = await assertRejects(
      () => stranger.registry.acquire(request("192.0.2.1"), { signal }),
      Error,
    );
    assertMatch(error.message, /^Cannot read node n1: the API server answers: .*(forbidden|Unauthorized)/);
  },
);

onTheRealServer("a server with another authority's certificate is not spoken to", async (server) => {
  const access = { url: server.url, tls: {}, token: server.tokens.agent, hint: "look at the test" };
  await using host = new KubeHost(server, { access });
  const error = await assertRejects(() => host.registry.acquire(request("192.0.2.1"), { signal }), Error);
  assertMatch(
    error.message,
    /its certificate comes from an authority that is not trusted; name the right one's file; look at the test$/,
  );
});

Deno.test("KEYS are flannel's", () => {
  assertEquals(KEYS.data, { 2: `${PREFIX}backend-data`, 10: `${PREFIX}backend-v6-data` });
});
