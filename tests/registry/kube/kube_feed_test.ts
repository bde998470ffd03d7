import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Membership } from "../../../src/registry/membership.ts";
import { type Json, refusal } from "../../double/api_objects.ts";
import { errorEvent, type Misdeed } from "../../double/misdeeds.ts";
import { bareNode, KEYS, KubeHost, memberNode, onTheDouble, request, signal, until } from "./servers.ts";

const N2 = "n2 10.244.2.0/24 at 192.0.2.2 by 0e:00:00:00:00:01";
const MOVED = "n2 10.244.2.0/24 at 192.0.2.77 by 0e:00:00:00:00:01";
const N3 = "n3 10.244.3.0/24 at 192.0.2.3 by 0e:00:00:00:00:01";
const AWAY = { metadata: { annotations: { [KEYS.address[2]]: "192.0.2.77" } } };

for (const [status, reason] of [[429, "TooManyRequests"], [500, ""], [503, ""], [504, "Timeout"]] as const) {
  onTheDouble(`a change is not lost when the newcomer beside it can't be read: ${status}`, async (server) => {
    await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
    await using host = new KubeHost(server);
    host.follow();
    await host.sees(N2);
    server.misdeeds.add({ kind: "get", name: "n3", refuse: refusal(status, reason, "not now"), times: 3 });
    // Both in one chunk.
    await server.patchNode("n2", AWAY);
    await server.createNode(memberNode("n3", "10.244.3.0/24", "192.0.2.3"));
    await host.sees(MOVED, N3);
    assertEquals(server.misdeeds.done.length, 3);
    assertEquals(host.updates.filter(({ kind }) => kind === "snapshot").length, 1, "nothing is listed anew");
  });
}

for (const code of [429, 500, 504]) {
  onTheDouble(`a change is not lost when an ERROR event with ${code} stands behind it`, async (server) => {
    await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
    await using host = new KubeHost(server);
    host.follow();
    await host.sees(N2);
    await server.patchNode("n2", AWAY);
    await host.sees(MOVED);
    host.updates.length = 0;
    const { metadata } = (await server.node("n2"))!;
    server.misdeeds.add({
      kind: "watch",
      events: [
        {
          type: "MODIFIED",
          object: { metadata: { ...metadata as object, resourceVersion: "90", ...annotated() } },
        },
        errorEvent(refusal(code, "", "etcdserver: leader changed")),
      ],
    });
    server.dropWatches();
    await until("be told", () => host.heard.includes(N2) || undefined);
  });
}

onTheDouble(
  "a token that is repeated in an ERROR event, of a watch or of a streamed list, is hidden",
  async (server) => {
    await using host = new KubeHost(server);
    const echo = refusal(500, "", `sent with Bearer ${server.tokens.agent}, \u202ereally`);
    for (const kind of ["list", "watch"] as const) {
      server.misdeeds.add({ kind, events: [errorEvent(echo)], times: 5 });
    }
    host.follow();
    const reason = await until("be told", () => {
      const { reason } = host.registry.contact;
      return reason?.includes("sent with") ? reason : undefined;
    });
    assertMatch(reason, /sent with Bearer \[secret\], \\u202ereally/);
    assert(!JSON.stringify(host.said).includes(server.tokens.agent));
  },
);

function annotated() {
  return { annotations: (memberNode("n2", "", "192.0.2.2").metadata as { annotations: object }).annotations };
}

onTheDouble("what is no JSON behind a change does not make the change unknown", async (server) => {
  await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
  await using host = new KubeHost(server);
  host.follow();
  await host.sees(N2);
  await server.patchNode("n2", AWAY);
  await host.sees(MOVED);
  host.updates.length = 0;
  const { metadata } = (await server.node("n2"))!;
  const told = {
    type: "MODIFIED",
    object: { metadata: { ...metadata as object, resourceVersion: "90", ...annotated() } },
  };
  const length = JSON.stringify(told).length + 1;
  server.misdeeds.add({
    kind: "watch",
    events: [told, { x: 1 }],
    garbage: { text: "<html>", afterBytes: length },
  });
  server.dropWatches();
  await until("be told", () => host.heard.includes(N2) || undefined);
  await until("break off", () => server.misdeeds.done.length === 1 || undefined);
});

onTheDouble("a server whose etcd was restored is believed anew, from etcd itself", async (server) => {
  await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
  const backup = server.backUp();
  await using host = new KubeHost(server);
  host.follow();
  await host.sees(N2);
  await server.createNode(memberNode("n3", "10.244.3.0/24", "192.0.2.3"));
  await server.patchNode("n2", AWAY);
  await host.sees(MOVED, N3);
  server.restore(backup);
  server.dropWatches();
  await host.sees(N2);
  assertEquals(host.said.map(({ event }) => event), ["registry went back"]);
  await server.createNode(memberNode("n4", "10.244.4.0/24", "192.0.2.4"));
  await host.sees(N2, "n4 10.244.4.0/24 at 192.0.2.4 by 0e:00:00:00:00:01");
  assertEquals(host.registry.contact.reason, undefined);
});

onTheDouble(
  "what a server keeps in its memory is not believed until a watch has been proved",
  async (server) => {
    await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
    const backup = server.backUp();
    await using host = new KubeHost(server);
    host.follow();
    await host.sees(N2);
    await server.patchNode("n2", AWAY);
    await host.sees(MOVED);
    server.requests.length = 0;
    // It was not started anew behind its etcd: what it has in its memory is what was, and the versions of now are too old to it.
    const expired = errorEvent(refusal(410, "Expired", "too old resource version"));
    for (let n = 0; n < 4; n++) {
      server.misdeeds.add({ kind: "watch", ...n === 0 ? {} : { events: [expired] } });
    }
    server.restore(backup);
    server.dropWatches();
    await host.sees(N2);
    await until("list again", () => server.misdeeds.done.length === 4 || undefined);
    await server.createNode(memberNode("n3", "10.244.3.0/24", "192.0.2.3"));
    await host.sees(N2, N3);
    assertEquals(
      server.requests.filter((request) => /[?&]resourceVersion=\d+&resourceVersionMatch/.test(request)),
      [],
    );
  },
);

onTheDouble("a server that has gone back and can't be asked is not said to be followed", async (server) => {
  await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
  const backup = server.backUp();
  await using host = new KubeHost(server);
  host.follow();
  await host.sees(N2);
  await server.patchNode("n2", AWAY);
  await host.sees(MOVED);
  // Watches are agreed to, and deaf; who asks where etcd stands is refused.
  server.misdeeds.add({ kind: "list", refuse: refusal(500, "", "etcdserver: no leader"), times: 1e6 });
  server.restore(backup);
  server.dropWatches();
  const reason = await until("be lost", () => host.registry.contact.reason);
  assertEquals(reason, "Cannot follow the nodes: the API server answers: etcdserver: no leader");
  server.misdeeds.clear();
  await host.sees(N2);
  await until("be heard", () => host.registry.contact.reason === undefined || undefined);
});

onTheDouble("a host whose annotations a restore has taken writes them again", async (server) => {
  await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
  const backup = server.backUp();
  await using host = new KubeHost(server);
  const controller = new AbortController();
  const membership = new Membership({
    registry: host.registry,
    leases: host.leases,
    request: () => request("192.0.2.1"),
    changed: () => {},
    now: () => Date.now(),
    elapsedMs: () => performance.now(),
    log: host.log,
  }, { renewMarginMs: 60_000 });
  const running = Promise.all([membership.hold(controller), membership.follow(controller)]);
  try {
    const N1 = "n1 10.244.1.0/24 at 192.0.2.1 by 0e:00:00:00:00:01";
    await host.sees(N1);
    server.restore(backup);
    server.dropWatches();
    const published = async () =>
      (((await server.node("n1"))!.metadata as Json).annotations as Json | undefined)?.[KEYS.managed];
    assertEquals(await published(), undefined);
    await until("be written again", async () => await published() === "true" || undefined);
    await host.sees(N1);
  } finally {
    controller.abort();
    await running;
  }
});

onTheDouble("a list comes from the server's memory, and is no older than what is known", async (server) => {
  await server.createNode(memberNode("n1", "10.244.1.0/24", "192.0.2.1"));
  await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
  for (const streamsLists of [false, true]) {
    server.streamsLists = streamsLists;
    server.requests.length = 0;
    await using host = new KubeHost(server);
    await host.registry.look({ signal });
    host.follow();
    await until("see both", () => host.leases.all?.length === 2 || undefined);
    const own = ((await server.node("n1"))!.metadata as Json).resourceVersion;
    const lists = server.requests.filter((request) =>
      !/nodes\/|allowWatchBookmarks=true&timeout/.test(request)
    );
    const query = streamsLists
      ? `watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=${own}`
      : `resourceVersion=${own}&resourceVersionMatch=NotOlderThan`;
    assertEquals([lists.length, lists.at(-1)!.includes(query)], [streamsLists ? 1 : 2, true]);
    await server.createNode(memberNode("n3", "10.244.3.0/24", "192.0.2.3"));
    await until("see the third", () => host.leases.all?.length === 3 || undefined);
    await server.deleteNode("n3");
  }
});

onTheDouble("an old list in the place of a new one is not believed", async (server) => {
  await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
  await server.createNode(memberNode("n1", "10.244.1.0/24", "192.0.2.1"));
  await using host = new KubeHost(server);
  await host.registry.look({ signal });
  const answer = { kind: "NodeList", metadata: { resourceVersion: "1" }, items: [] };
  server.misdeeds.add({ kind: "list", answer });
  host.follow();
  await until("see both", () => host.leases.all?.length === 2 || undefined);
  assertEquals(host.updates.length, 1);
});

onTheDouble("a list without the own node is not believed while the server has that node", async (server) => {
  await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
  await server.createNode(memberNode("n1", "10.244.1.0/24", "192.0.2.1"));
  await using host = new KubeHost(server);
  await host.registry.look({ signal });
  host.follow();
  await until("see both", () => host.leases.all?.length === 2 || undefined);
  const answer = { kind: "NodeList", metadata: { resourceVersion: "999999" }, items: [] };
  server.misdeeds.add({ kind: "list", answer, times: 3 });
  server.misdeeds.add({ kind: "watch", events: [errorEvent(refusal(410, "Expired", "too old"))] });
  server.dropWatches();
  await until("be told", () => host.registry.contact.reason?.includes("lacks this host's own") || undefined);
  await until("be in touch again", () => host.registry.contact.reason === undefined || undefined);
  assertEquals(host.leases.all?.length, 2);
  assert(!host.updates.some((update) => update.kind === "snapshot" && update.leases.length === 0));
});

onTheDouble("a node in the place of the own one is not believed", async (server) => {
  await server.createNode(memberNode("n1", "10.244.1.0/24", "192.0.2.1"));
  server.misdeeds.add({ kind: "get", name: "n1", answer: memberNode("n2", "10.244.2.0/24", "192.0.2.2") });
  await using host = new KubeHost(server);
  await assertRejects(() => host.registry.look({ signal }), Error, "does not answer as an API server does");
});

onTheDouble("what never ends, and what trickles, is given up and named", async (server) => {
  await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
  const complaints = async (misdeed: Misdeed) => {
    server.misdeeds.add(misdeed);
    await using host = new KubeHost(server);
    const error = await assertRejects(() => host.registry.look({ signal }), Error);
    return error.message;
  };
  const kind = "get";
  const told = await Promise.all([
    complaints({ kind, bytesPerSecond: 1 }),
    complaints({ kind, silentAfterBytes: 0 }),
    complaints({ kind, silentAfterBytes: 10 }),
    complaints({ kind, endless: " " }),
    complaints({ kind, cutAfterBytes: 10 }),
    complaints({ kind, garbage: { text: "<html>", afterBytes: 0 } }),
  ]);
  const expected = [
    /answers too slowly: \d+ bytes in 10 s; look at the test$/,
    /said nothing for 10 s; look at the test$/,
    /said nothing for 10 s; look at the test$/,
    /answers more than 10\d{6} bytes$/,
    /broke off its answer/,
    /./,
  ];
  for (const [at, pattern] of expected.entries()) assertMatch(told[at]!, pattern);
});

onTheDouble("a server that begins to stream a list and can't is asked for it at once", async (server) => {
  server.streamsLists = true;
  await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
  const why = "the required storage feature RequestWatchProgress is disabled";
  server.misdeeds.add({ kind: "watch", events: [errorEvent(refusal(500, "InternalError", why))] });
  await using host = new KubeHost(server);
  host.follow();
  await host.sees(N2);
  assertEquals(host.registry.contact.reason, undefined);
});

onTheDouble(
  "a second list is of metadata, and newcomers are read by themselves unless they are many",
  async (server) => {
    const add = (n: number, subnet = n) =>
      server.createNode(memberNode(`n${n}`, `10.244.${subnet}.0/24`, `192.0.2.${n}`));
    const seen = (n: number, subnet = n) =>
      `n${n} 10.244.${subnet}.0/24 at 192.0.2.${n} by 0e:00:00:00:00:01`;
    const relist = async (change: () => Promise<void>) => {
      server.requests.length = 0;
      await server.stop();
      await change();
      server.compact();
      await server.start();
    };
    const gets = () => server.requests.filter((request) => /nodes\/n(?!1$)/.test(request)).length;
    for (const n of [2, 3, 4]) await add(n);
    await using host = new KubeHost(server);
    host.follow();
    await host.sees(seen(2), seen(3), seen(4));
    await relist(async () => {
      await server.deleteNode("n3");
      await server.deleteNode("n2");
      await add(2, 77);
      await add(5);
    });
    await host.sees(seen(2, 77), seen(4), seen(5));
    assertEquals(gets(), 2);
    await relist(async () => {
      for (let n = 10; n < 40; n++) await add(n);
    });
    await host.sees(seen(2, 77), seen(4), seen(5), ...Array.from({ length: 30 }, (_, at) => seen(at + 10)));
    assertEquals(gets(), 0);
  },
);

onTheDouble("of thousands of junk nodes some are named, and the others counted", async (server) => {
  await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
  for (let n = 0; n < 3000; n++) {
    const { metadata } = memberNode(`junk-${n}`, "", "192.0.2.3");
    const annotations = {
      ...(metadata as { annotations: Json }).annotations,
      [KEYS.data[2]]: "x".repeat(n < 20 ? 1_400_000 : 10),
      ...n < 20 && { "example.com/junk": "y".repeat(100_000) },
    };
    const podCIDR = `10.245.${n % 256}.0/24`;
    await server.createNode({ metadata: { name: `junk-${n}`, annotations }, spec: { podCIDR } });
  }
  await using host = new KubeHost(server);
  host.follow();
  await host.sees(N2);
  const { faults } = host.registry;
  assertEquals([faults.length, faults.at(-1)], [101, {
    host: "2900 more hosts",
    reason: "their entries can't be read",
    count: 2900,
  }]);
  assertMatch(
    faults[0]!.reason,
    /^annotation .*backend-data must be JSON, is 1400002 bytes long, and at most 4096 are read$/,
  );
  await server.createNode(memberNode("n3", "10.244.3.0/24", "192.0.2.3"));
  await host.sees(N2, N3);
});
