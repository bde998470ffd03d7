import { assert, assertEquals, assertRejects } from "@std/assert";
import { EtcdClient } from "../../../src/registry/etcd/etcd_client.ts";
import { EtcdError } from "../../../src/registry/etcd/etcd_refusal.ts";
import { explained, isAway, reasonOf, TurnedAwayError } from "../../../src/registry/etcd/etcd_reason.ts";
import { ConnectionError } from "../../../src/registry/http/connection_error.ts";
import { RegistryError } from "../../../src/registry/registry_error.ts";
import { signal } from "./etcd_world.ts";

const endpoints = ["http://192.0.2.1:2379"];
const client = new EtcdClient({ endpoints, tls: {} }, {
  readTextFile: () => Promise.reject(new Error("none")),
});

const failures: [what: string, error: Error, message: string][] = [
  [
    "a refusal",
    new EtcdError(3, "permission denied"),
    "Cannot take a lease: etcd at http://192.0.2.1:2379 answers: permission denied; give its user a role that may read and write the keys of -etcd-prefix",
  ],
  [
    "a server that is away",
    new ConnectionError("etcd at 192.0.2.1:2379 does not answer: Connection refused"),
    "Cannot take a lease: etcd at 192.0.2.1:2379 does not answer: Connection refused; look at -etcd-endpoints",
  ],
  [
    "what is explained already",
    new RegistryError("take a lease", "all are held"),
    "Cannot take a lease: all are held",
  ],
];

for (const [what, error, message] of failures) {
  Deno.test(`explained() makes one sentence of ${what}`, async () => {
    const failing = () => explained("take a lease", client, signal, () => Promise.reject(error));
    assertEquals((await assertRejects(failing, RegistryError)).message, message);
  });
}

Deno.test("explained() says why it was ended, not what that has broken", async () => {
  const reason = new Error("the agent ends");
  const broken = () => Promise.reject(new ConnectionError("cut"));
  const ended = explained("take a lease", client, AbortSignal.abort(reason), broken);
  assertEquals(await ended.catch((error) => error), reason);
});

Deno.test("isAway() tells what another member may do better from what is wrong here", () => {
  assert(isAway(new ConnectionError("cut")));
  assert(isAway(new TurnedAwayError("a", "b")));
  assert(isAway(new EtcdError(14, "no leader")));
  assert(!isAway(new TypeError("x is not a function")));
});

Deno.test("reasonOf() names the member", () => {
  assertEquals(
    reasonOf(new EtcdError(14, "no leader"), endpoints[0]!),
    `etcd at ${
      endpoints[0]
    } answers: no leader; the majority of its members is away: etcdctl endpoint status tells which`,
  );
  assertEquals(
    reasonOf(new TurnedAwayError("http://a", "http://b"), "http://b"),
    "etcd at http://a does not answer; http://b does",
  );
});
