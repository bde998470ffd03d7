import { assertEquals } from "@std/assert";
import { statusApp } from "../../src/status/app.ts";
import type { StatusDeps } from "../../src/status/facts.ts";
import { type DaemonSet, type KubeObject, only, readObjects } from "./objects.ts";

interface PodMonitor extends KubeObject {
  readonly spec: {
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly podMetricsEndpoints: readonly { readonly port: string; readonly path: string }[];
  };
}

const monitor = only<PodMonitor>("PodMonitor", await readObjects("pod-monitor.yml"));
const daemonSet = only<DaemonSet>("DaemonSet", await readObjects("kube-flannel.yml"));

Deno.test("the PodMonitor finds the pods of the DaemonSet, and the port that is named there", () => {
  const { selector, podMetricsEndpoints: [endpoint] } = monitor.spec;
  assertEquals<unknown>(selector, daemonSet.spec.selector);
  assertEquals(monitor.metadata.namespace, daemonSet.metadata.namespace);
  const ports = daemonSet.spec.template.spec!.containers[0]!.ports!.map(({ name }) => name);
  assertEquals(ports, [endpoint!.port]);
});

Deno.test("the agent answers the path that the PodMonitor asks for", () => {
  const app = statusApp(() => ({} as StatusDeps));
  const paths = app.routes.map(({ path }) => path);
  assertEquals(paths.includes(monitor.spec.podMetricsEndpoints[0]!.path), true, paths.join(" "));
});
