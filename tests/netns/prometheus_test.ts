import { assert, assertEquals } from "@std/assert";
import { parse, stringify } from "yaml";
import type { LabHost } from "../../src/lab/host.ts";
import { formatAddress, formatPrefix } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { type Dashboard, expressionsOf, metricNames, type RuleFile } from "../double/observability.ts";
import { httpGet } from "../double/overlay_http.ts";
import { hostsOf, until, untilReady, untilSettled, withOverlay } from "../double/overlay_rig.ts";
import { ip } from "../double/overlay_standing.ts";

const FOLDER = new URL("../../manifests/observability/", import.meta.url);
const AT = "127.0.0.1:9090";
/** What a lab's hosts don't have: a cloud, and pods that a conflist of Loden's has started. */
const NOT_HERE = /^loden_(cloud|pool)_/;

const rules = parse(await Deno.readTextFile(new URL("alerts.yml", FOLDER))) as RuleFile;
const dashboard = JSON.parse(
  await Deno.readTextFile(new URL("dashboard.json", FOLDER).pathname),
) as Dashboard;

/** A real Prometheus in the namespace of a host. */
class Prometheus implements AsyncDisposable {
  private constructor(readonly libc: Libc, readonly host: LabHost, readonly process: Deno.ChildProcess) {}

  /** Scrapes all hosts each second, with the rules that are delivered, but for how long they wait. */
  static async start(
    libc: Libc,
    host: LabHost,
    targets: readonly string[],
    folder: string,
  ): Promise<Prometheus> {
    const quick = {
      groups: rules.groups.map((group) => ({
        ...group,
        interval: "1s",
        rules: group.rules.map((rule) => "for" in rule ? { ...rule, for: "2s" } : rule),
      })),
    };
    await Deno.writeTextFile(`${folder}/alerts.yml`, stringify(quick));
    await Deno.writeTextFile(
      `${folder}/prometheus.yml`,
      stringify({
        global: { scrape_interval: "1s", evaluation_interval: "1s" },
        rule_files: ["alerts.yml"],
        scrape_configs: [{ job_name: "loden", static_configs: [{ targets }] }],
      }),
    );
    const args = [
      ...["netns", "exec", host.netns.name, "prometheus", `--config.file=${folder}/prometheus.yml`],
      ...[`--storage.tsdb.path=${folder}/data`, `--web.listen-address=${AT}`, "--log.level=error"],
    ];
    const process = new Deno.Command("ip", { args, stdin: "null", stdout: "null", stderr: "null" }).spawn();
    return new Prometheus(libc, host, process);
  }

  /** Asks its API; `undefined` while it is not there. */
  async get(path: string): Promise<unknown> {
    const answer = await httpGet(this.libc, this.host.netns, path, AT);
    if (answer?.status !== 200) return undefined;
    // An answer of version 1.0 may still be cut into chunks.
    const text = answer.body.replaceAll(/(^|\r\n)[0-9a-f]+\r\n/g, "").trim();
    return (JSON.parse(text) as { readonly data: unknown }).data;
  }

  async alerts(): Promise<readonly Alert[]> {
    return (await this.get("/api/v1/alerts") as { readonly alerts: readonly Alert[] } | undefined)?.alerts ??
      [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.process.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await this.process.status;
  }
}

interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: string;
}

function isFiring(alerts: readonly Alert[], name: string, instance: string): Alert | undefined {
  return alerts.find(({ labels, state }) =>
    labels["alertname"] === name && labels["instance"] === instance && state === "firing"
  );
}

Deno.test("a real Prometheus scrapes the agents; alerts of a broken peer, path and host fire and resolve", async () => {
  await withOverlay({ hosts: 3 }, async (lab, libc) => {
    const [h1, h2, h3] = hostsOf(lab);
    await untilSettled(lab, libc);
    for (const host of [h1, h2, h3]) {
      await host.stopAgent();
      host.startAgent(["-healthz-ip=0.0.0.0"]);
    }
    for (const host of [h1, h2, h3]) await untilReady(libc, host);
    const target = (host: LabHost) => `${formatAddress(host.underlayAddresses[0]!)}:8081`;
    const folder = await Deno.makeTempDir({ prefix: "loden-prometheus-" });
    try {
      await using prometheus = await Prometheus.start(libc, h1, [h1, h2, h3].map(target), folder);
      await until("see all hosts scraped", async () => {
        const found = await prometheus.get("/api/v1/query?query=sum(loden_ready)") as
          | { readonly result: readonly { readonly value: readonly [number, string] }[] }
          | undefined;
        return found?.result[0]?.value[1] === "3" || undefined;
      });
      // Prometheus asks for OpenMetrics, and has the units by that.
      const metadata = await prometheus.get(
        "/api/v1/targets/metadata?metric=loden_repair_duration_seconds",
      ) as readonly {
        readonly type: string;
        readonly unit: string;
      }[];
      assertEquals([metadata[0]?.type, metadata[0]?.unit], ["histogram", "seconds"]);
      const names = new Set(await prometheus.get("/api/v1/label/__name__/values") as readonly string[]);
      for (const expression of expressionsOf(rules, dashboard)) {
        const missing = metricNames(expression).filter((name) => !names.has(name) && !NOT_HERE.test(name));
        assertEquals(missing.filter((name) => name !== "loden_condition"), [], expression);
        const answer = await prometheus.get(`/api/v1/query?query=${
          encodeURIComponent(
            expression.replaceAll("$__rate_interval", "30s").replaceAll("$instance", ".*"),
          )
        }`);
        assert(answer !== undefined, `Prometheus does not understand ${expression}`);
      }
      await until("see no alert", async () => {
        const alerts = await prometheus.alerts();
        return alerts.every(({ labels }) => labels["severity"] !== "critical") || undefined;
      });

      const [to2, to3] = [h2, h3].map((host) => formatPrefix(host.share.subnets[0]!)) as [string, string];
      await ip(h1, "route", "add", "unreachable", to2, "metric", "0");
      const one = await until(
        "see the alert of a peer fire",
        async () => isFiring(await prometheus.alerts(), "LodenPeersUnreached", target(h1)),
      );
      assert(
        one.annotations["summary"]!.includes("sends nothing to 1 other hosts over ipv4"),
        one.annotations["summary"],
      );

      await ip(h1, "route", "add", "unreachable", to3, "metric", "0");
      const two = await until(
        "see the alert of a host fire",
        async () => isFiring(await prometheus.alerts(), "LodenHostNotReady", target(h1)),
      );
      assert(
        two.annotations["runbook_url"]!.endsWith("docs/conditions.md#host-cut-off"),
        two.annotations["runbook_url"],
      );
      assertEquals(isFiring(await prometheus.alerts(), "LodenHostNotReady", target(h2)), undefined);

      for (const to of [to2, to3]) await ip(h1, "route", "delete", "unreachable", to, "metric", "0");
      await until("see both alerts resolved", async () => {
        const alerts = await prometheus.alerts();
        return ["LodenPeersUnreached", "LodenHostNotReady"].every((name) =>
          isFiring(alerts, name, target(h1)) === undefined
        ) || undefined;
      });

      // A firewall that takes what is encapsulated, and nothing else: no route shows it, probes do.
      await h2.netns.mustExec(
        ...[
          "nft",
          "add table inet broken; add chain inet broken input { type filter hook input priority 0; };",
        ],
        "add rule inet broken input udp dport 8472 drop",
      );
      const path = await until("see the alert of a path fire", async () => {
        return (await prometheus.alerts()).find(({ labels, state }) =>
          labels["alertname"] === "LodenPathsBad" && labels["instance"] === target(h1) && state === "firing"
        );
      });
      assert(path.annotations["summary"]!.includes("broken"), path.annotations["summary"]);
      await h2.netns.mustExec("nft", "delete table inet broken");
      await until(
        "see the alert of a path resolved",
        async () =>
          isFiring(await prometheus.alerts(), "LodenPathsBad", target(h1)) === undefined || undefined,
      );

      await h3.stopAgent();
      await until(
        "see the alert of an agent fire",
        async () => isFiring(await prometheus.alerts(), "LodenAgentDown", target(h3)),
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
});
