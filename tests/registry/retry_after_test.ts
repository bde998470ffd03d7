import { assertEquals, assertGreaterOrEqual, assertRejects } from "@std/assert";
import { EtcdClient } from "../../src/registry/etcd/etcd_client.ts";
import { EtcdError } from "../../src/registry/etcd/etcd_refusal.ts";
import { KubeClient, KubeError } from "../../src/registry/kube/kube_client.ts";
import { ApiServerDouble } from "../double/api_server.ts";
import { EtcdServer } from "../double/etcd.ts";
import { RudeFront } from "../double/rude_front.ts";
import { EtcdHost, request as etcdRequest } from "./etcd/etcd_world.ts";
import { bareNode, KubeHost, request as kubeRequest, until } from "./kube/servers.ts";

const signal = new AbortController().signal;
/** What is asked for; a second, as the API server itself asks for. */
const REST_MS = 1000;
/** A registry's watch and lists stay open when a test ends. */
const sanitizers = { sanitizeOps: false, sanitizeResources: false };

/** Has a front refuse for as long as it asks to be left alone, the first time that it is asked. */
function beBusy(front: RudeFront, status: number): { readonly early: number; readonly until: number } {
  let [busyUntilMs, early] = [0, 0];
  front.rude = () => {
    const nowMs = performance.now();
    if (busyUntilMs !== 0 && nowMs >= busyUntilMs) return undefined;
    if (busyUntilMs !== 0) early++;
    busyUntilMs ||= nowMs + REST_MS;
    return new Response("too much to do", { status, headers: { "retry-after": String(REST_MS / 1000) } });
  };
  return {
    get early() {
      return early;
    },
    get until() {
      return busyUntilMs;
    },
  };
}

for (const status of [429, 503]) {
  Deno.test(
    `Kubernetes: a server that answers ${status} is asked nothing until it wants to be asked again`,
    sanitizers,
    async () => {
      await using server = await ApiServerDouble.open();
      await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
      await using front = new RudeFront(server.url);
      await using host = new KubeHost(
        Object.create(server, { url: { value: front.url } }) as ApiServerDouble,
      );
      const busy = beBusy(front, status);
      host.follow();
      await until("be refused", () => busy.until > 0 || undefined);
      // Who asks for the lease knows nothing of what the watch was told.
      await host.registry.acquire(kubeRequest("192.0.2.1"), { signal });
      await host.sees("n1 10.244.1.0/24 at 192.0.2.1 by 0e:00:00:00:00:01");
      assertEquals(busy.early, 0);
      assertGreaterOrEqual(front.requests.at(-1)!.atMs, busy.until);
    },
  );

  Deno.test(
    `etcd: a member that answers ${status} is asked nothing until it wants to be asked again`,
    sanitizers,
    async () => {
      await using server = await EtcdServer.open();
      await using front = new RudeFront(server.url);
      using host = new EtcdHost({ access: { endpoints: [front.url], tls: {} } }, "/busy", {
        addresses: ["192.0.2.1"],
      });
      const busy = beBusy(front, status);
      host.follow();
      await until("be refused", () => busy.until > 0 || undefined);
      await host.registry.acquire(etcdRequest("192.0.2.1"), { signal });
      await host.heard("the own lease", ({ kind }) => kind === "snapshot");
      assertEquals(busy.early, 0);
    },
  );
}

Deno.test("etcd: while one member wants to be left alone another one is asked at once", async () => {
  await using server = await EtcdServer.open();
  await using front = new RudeFront(server.url);
  front.rude = () => new Response("busy", { status: 503, headers: { "retry-after": "60" } });
  using client = new EtcdClient({ endpoints: [front.url, server.url], tls: {} }, {
    readTextFile: Deno.readTextFile,
  });
  for (let times = 0; times < 3; times++) {
    assertEquals((await client.range("/busy", { signal })).entries, []);
    client.turnAway();
  }
  assertEquals(front.requests.length, 1);
});

Deno.test("who asks is told how long the server wants to be left alone", async () => {
  await using front = new RudeFront("http://127.0.0.1:1");
  front.rude = () => new Response("{}", { status: 429, headers: { "retry-after": "7" } });
  const deps = { readTextFile: Deno.readTextFile, elapsedMs: () => performance.now() };
  using kube = new KubeClient({ url: front.url, tls: {}, hint: "" }, deps);
  using etcd = new EtcdClient({ endpoints: [front.url], tls: {} }, deps);
  assertEquals((await assertRejects(() => kube.request("/", {}, { signal }), KubeError)).retryAfterMs, 7000);
  assertEquals((await assertRejects(() => etcd.range("/", { signal }), EtcdError)).retryAfterMs, 7000);
});

Deno.test("an abort ends the wait for a server that wants to be left alone", async () => {
  await using front = new RudeFront("http://127.0.0.1:1");
  front.rude = () => new Response("{}", { status: 429, headers: { "retry-after": "60" } });
  using client = new KubeClient({ url: front.url, tls: {}, hint: "" }, {
    readTextFile: Deno.readTextFile,
    elapsedMs: () => performance.now(),
  });
  await assertRejects(() => client.request("/", {}, { signal }), KubeError);
  const abort = new AbortController();
  const reason = new Error("the agent ends");
  const asked = assertRejects(() => client.request("/", {}, { signal: abort.signal }), Error, reason.message);
  abort.abort(reason);
  await asked;
  assertEquals(front.requests.length, 1);
});
