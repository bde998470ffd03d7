import { assert, assertEquals } from "@std/assert";
import type { PassReport } from "../../src/reconcile/report.ts";
import { statusApp, type StatusDeps } from "../../src/status/app.ts";
import { readiness } from "../../src/status/health.ts";
import { HOST, OWN, pass, READY } from "./facts.ts";

const answers: [
  request: [path: string, method: string],
  deps: Partial<StatusDeps>,
  status: number,
  body: string,
][] = [
  [
    ["/healthz", "GET"],
    { health: () => ({ isReady: false, reasons: ["no"], notes: [] }) },
    200,
    "flanneld is running",
  ],
  [["/healthz", "POST"], {}, 200, "flanneld is running"],
  [["/readyz", "GET"], {}, 200, "flanneld is ready"],
  [["/readyz", "POST"], {}, 200, "flanneld is ready"],
  [
    ["/readyz", "GET"],
    { health: () => ({ isReady: true, reasons: [], notes: ["the registry is away"] }) },
    200,
    "flanneld is ready\nthe registry is away",
  ],
  [
    ["/readyz", "GET"],
    { health: () => ({ isReady: false, reasons: ["no lease", "no file"], notes: [] }) },
    503,
    "flanneld is not ready yet\nno lease\nno file",
  ],
  [
    ["/readyz", "GET"],
    { health: () => ({ isReady: false, reasons: ["a\r\nflanneld is ready\x1b[2J"], notes: [] }) },
    503,
    "flanneld is not ready yet\na flanneld is ready [2J",
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
  let lastPass: PassReport | undefined;
  const lease = { own: OWN, reason: undefined };
  const health = () =>
    readiness({
      lastPass,
      lease,
      underlay: { reason: undefined },
      shortfalls: [],
      podFiles: { fault: undefined, note: undefined },
      host: HOST,
      rules: undefined,
      hasSnapshot: true,
      contact: { reason: undefined },
    });
  const app = statusApp(() => ({ ...READY, health }));
  const statuses: number[] = [];
  for (const next of [undefined, pass(), pass({ failureCount: 1, failures: ["no"] }), pass()]) {
    lastPass = next;
    statuses.push((await app.request("/readyz")).status);
  }
  assertEquals(statuses, [503, 200, 503, 200]);
});

Deno.test("/status tells of the last pass, the lease and the underlay, and no backend data", async () => {
  const report = pass({
    planned: 5,
    failureCount: 1,
    failures: ["Cannot add route"],
    faults: [{ host: "b", reason: "subnet overlaps" }],
    remoteLeases: 7,
    reached: 1,
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
  const deps = { ...READY, lastPass: () => report, rules: () => rules, host: () => host };
  const response = await statusApp(() => deps).request("/status");
  assertEquals(response.headers.get("content-type"), "application/json");
  const text = await response.text();
  assert(!text.includes("not to be told"));
  assertEquals(JSON.parse(text), {
    ready: true,
    reasons: [],
    notes: [],
    registry: { name: "etcd /net", followed: true, reason: null, heardAt: "2026-01-01T00:00:01.000Z" },
    lease: {
      host: "192.0.2.1",
      backendType: "vxlan",
      subnets: ["10.244.1.0/24"],
      underlayAddresses: ["192.0.2.1"],
      expiresAt: "2026-01-02T00:00:00.000Z",
    },
    underlay: {
      link: "eth0",
      mtuBytes: 1500,
      chosenBy: "-iface eth0",
      reason: "eth0 has lost 192.0.2.9",
      addresses: [{ family: "ipv4", address: "192.0.2.1", advertised: "198.51.100.1", mtuBytes: 1500 }],
    },
    pools: [{ network: "cbr0", subnet: "10.244.1.0/24", used: 3, size: 253, leftovers: 1 }],
    rules: { effective: ["masqueraded"], failures: [], warnings: ["a chain drops"], changes: 2 },
    host: {
      boot: "same boot",
      prerequisites: [{ name: "vxlan", verdict: "ok", detail: "the kernel makes VXLAN links" }],
      txChecksums: [{ link: "flannel.1", on: false, reason: "the driver vmxnet3 spoils them" }],
      dataPath: { state: "proved", peers: ["b at 10.244.2.0: answered"] },
    },
    pass: {
      startedAt: "2026-01-01T00:00:00.000Z",
      durationMs: 1.5,
      planned: 5,
      applied: 4,
      failed: 1,
      failures: ["Cannot add route"],
      forwarding: true,
      remoteLeases: 7,
      leftOut: 1,
      faults: [{ host: "b", reason: "subnet overlaps" }],
    },
  });
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
