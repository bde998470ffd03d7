import { assert, assertEquals } from "@std/assert";
import type { Log } from "../../src/log/log.ts";
import { Conditions } from "../../src/loop/conditions.ts";
import { returnsNext } from "@std/testing/mock";
import { assertSnapshot } from "@std/testing/snapshot";
import { statusApp } from "../../src/status/app.ts";
import type { StatusDeps } from "../../src/status/facts.ts";
import { conditionsOf } from "../../src/status/health.ts";
import { VERSION } from "../../src/model/version.ts";
import { HOST, OWN, pass, READY, standing } from "./facts.ts";

const SILENT: Log = { write: () => {} };

const answers: [
  request: [path: string, method: string],
  deps: Partial<StatusDeps>,
  status: number,
  body: string,
][] = [
  [
    ["/healthz", "GET"],
    { conditions: () => standing(["lease-missing", "no"]) },
    200,
    "flanneld is running",
  ],
  [["/healthz", "POST"], {}, 200, "flanneld is running"],
  [["/readyz", "GET"], {}, 200, "flanneld is ready"],
  [["/readyz", "POST"], {}, 200, "flanneld is ready"],
  [
    ["/readyz", "GET"],
    {
      conditions: () =>
        standing(["registry-not-followed", "the registry is away"], ["vanished-pods", "2 pods"]),
    },
    200,
    "flanneld is ready\nthe registry is away",
  ],
  [
    ["/readyz", "GET"],
    {
      conditions: () =>
        standing(["lease-missing", "no lease"], ["other-backend", "not told"], [
          "pod-files-missing",
          "no file",
        ]),
    },
    503,
    "flanneld is not ready yet\nno lease\nno file",
  ],
  [
    ["/readyz", "GET"],
    { conditions: () => standing(["host-cut-off", "a\r\nflanneld is ready\x1b[2J"]) },
    503,
    "flanneld is not ready yet\na flanneld is ready\\u001b[2J",
  ],
  [["/", "GET"], {}, 404, "404 page not found"],
  [["/healthz/", "GET"], {}, 404, "404 page not found"],
  [["/metrics", "POST"], {}, 404, "404 page not found"],
  [["/status", "POST"], {}, 404, "404 page not found"],
];

for (const [[path, method], deps, status, body] of answers) {
  Deno.test(`${method} ${path} answers ${status} ${JSON.stringify(body)}`, async () => {
    const response = await statusApp(() => ({ ...READY, ...deps })).request(path, { method });
    assertEquals([response.status, await response.text()], [status, body]);
    assertEquals(response.headers.get("content-type")?.toLowerCase(), "text/plain; charset=utf-8");
  });
}

Deno.test("/metrics answers in Prometheus's text format", async () => {
  const response = await statusApp(() => READY).request("/metrics");
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  assert((await response.text()).includes("\nloden_ready 1\n"));
});

Deno.test("/readyz goes back to 503 when a pass fails, and to 200 when the next one does not", async () => {
  const nextPass = returnsNext([undefined, pass(), pass({ failureCount: 1, failures: ["no"] }), pass()]);
  const lease = { own: OWN, reason: undefined };
  const board = new Conditions({ log: SILENT, now: () => new Date(), elapsedMs: () => 0 });
  const conditions = () =>
    board.see(conditionsOf({
      lastPass: nextPass(),
      lease,
      underlay: { reason: undefined },
      shortfalls: [],
      families: [],
      podFiles: { fault: undefined, note: undefined },
      host: HOST,
      rules: undefined,
      hasSnapshot: true,
      contact: { reason: undefined },
    }));
  const app = statusApp(() => ({ ...READY, conditions }));
  const statuses: number[] = [];
  for (let request = 0; request < 4; request++) statuses.push((await app.request("/readyz")).status);
  assertEquals(statuses, [503, 200, 503, 200]);
});

Deno.test("/status tells of the last pass, the lease and the underlay, and no backend data", async (t) => {
  const report = pass({
    planned: 5,
    applied: 4,
    failureCount: 1,
    failures: ["Cannot add route"],
    faults: [{ host: "b", reason: "subnet overlaps" }],
    remoteLeases: 7,
    reach: [{ family: 2, peers: 7, reached: 1 }],
    otherBackends: [],
    doubts: [],
    isRemembered: false,
  });
  const rules = {
    changes: 2,
    isMasquerading: true,
    effective: ["masqueraded"],
    failures: [],
    warnings: ["a chain drops"],
  };
  const host = {
    ...HOST,
    checksums: [{ linkName: "flannel.1", observed: false, reason: "the driver vmxnet3 spoils them" }],
    dataPath: { ...HOST.dataPath, peers: ["b at 10.244.2.0: answered"] },
  };
  const conditions = () =>
    standing(["registry-not-followed", "the registry can't be followed: nobody answers"]);
  const deps = { ...READY, conditions, lastPass: () => report, rules: () => rules, host: () => host };
  const response = await statusApp(() => deps).request("/status");
  assertEquals(response.headers.get("content-type"), "application/json");
  const text = await response.text();
  assert(!text.includes("not to be told"));
  const { at, process: { id, startedAt }, version, ...told } = JSON.parse(text);
  assertEquals([at, startedAt].map((moment) => new Date(moment).toISOString()), [at, startedAt]);
  assertEquals([id, version], [Deno.pid, VERSION]);
  await assertSnapshot(t, told);
});

Deno.test("/status answers before there is anything to tell", async () => {
  const deps = { ...READY, lastPass: () => undefined, underlay: () => undefined, ownLease: () => undefined };
  const { lease, underlay, pass } = await (await statusApp(() => deps).request("/status")).json();
  assertEquals([lease, underlay, pass], [null, null, null]);
});

Deno.test("/status names some of many peers that were left out, counts them all, and cuts long words", async () => {
  const faults = Array.from({ length: 5000 }, (_, n) => ({ host: `h${n}`, reason: "x".repeat(4096) }));
  const response = await statusApp(() => ({ ...READY, lastPass: () => pass({ faults }) })).request("/status");
  const { pass: told } = await response.json();
  assertEquals([told.leftOut, told.faults.length, told.faults[0].reason.length], [5000, 100, 501]);
});

Deno.test("an endpoint that fails answers 500 and keeps its reason to itself", async () => {
  const lastPass = () => {
    throw new Error("/etc/secret");
  };
  const response = await statusApp(() => ({ ...READY, lastPass })).request("/status");
  assertEquals([response.status, await response.text()], [500, "500 internal error"]);
});
