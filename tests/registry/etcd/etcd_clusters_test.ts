import { assertEquals } from "@std/assert";
import { EtcdClusters } from "../../../src/registry/etcd/etcd_clusters.ts";

const MINUTE_MS = 60_000;

function following(cluster: string) {
  const time = { ms: 0 };
  const clusters = new EtcdClusters(() => time.ms);
  clusters.follow(cluster);
  return { clusters, time };
}

Deno.test("EtcdClusters lets another cluster take the place of one that is heard no more", () => {
  const { clusters } = following("a");
  assertEquals([clusters.heard("a", "u"), clusters.heard("b", "u"), clusters.heard("b", "u")], [
    true,
    false,
    false,
  ]);
  assertEquals(clusters.mayFollow("b"), true);
  assertEquals([clusters.follow("b"), clusters.current, clusters.heard("b", "u")], ["a", "b", true]);
  assertEquals(clusters.conditions, []);
});

Deno.test("EtcdClusters refuses one that answers beside the one that is followed, and says that there are two", () => {
  const { clusters, time } = following("a");
  for (const cluster of ["b", "a", "b"]) clusters.heard(cluster, "http://192.0.2.1:2379");
  assertEquals([clusters.mayFollow("b"), clusters.mayFollow("a"), clusters.mayFollow("c")], [
    false,
    true,
    true,
  ]);
  assertEquals(clusters.conditions, [{
    code: "registry-mixed",
    sentence: "etcd at http://192.0.2.1:2379 answers by turns as cluster b and as a, which is followed",
  }]);
  clusters.follow("b");
  assertEquals(clusters.conditions, [], "what was said is no longer so");
  clusters.follow("a");
  time.ms += 11 * MINUTE_MS;
  assertEquals([clusters.mayFollow("b"), clusters.conditions], [true, []], "the other is gone for long");
});

Deno.test("EtcdClusters does not go back to a cluster that it has left, while the new one answers", () => {
  const { clusters, time } = following("a");
  clusters.heard("b", "u");
  clusters.follow("b");
  clusters.heard("a", "u");
  assertEquals([clusters.mayFollow("a"), clusters.conditions.length], [false, 1]);
  for (let beat = 0; beat < 9; beat++) {
    time.ms += 20_000;
    clusters.heard("b", "u");
  }
  assertEquals(clusters.mayFollow("a"), false);
  time.ms += 31_000;
  assertEquals(clusters.mayFollow("a"), true, "it has taken the place of the other again");
});

Deno.test("EtcdClusters makes nothing of an answer that does not tell its cluster", () => {
  const { clusters } = following("a");
  assertEquals([clusters.heard("", "u"), clusters.follow(""), clusters.current], [true, undefined, "a"]);
});
