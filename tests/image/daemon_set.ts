import type { Container, PodSpec, PodTemplateSpec, Probe } from "kubernetes-types/core/v1";
import type { Image } from "../../.ci/image.ts";
import type { Netns } from "../../src/lab/netns.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { until } from "../double/overlay_rig.ts";
import { hasCgroups, OciContainer } from "./container.ts";
import { expand, ociConfig, parseQuantity } from "./oci_config.ts";
import { probeHttp } from "./probe.ts";
import { type ClusterAccess, makeVolumes } from "./volumes.ts";

/** What this needs of a DaemonSet. */
export interface DaemonSet {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: { readonly template: PodTemplateSpec };
}

/** A pod, as the DaemonSet controller makes it and the API server keeps it. */
export interface PodObject {
  readonly apiVersion: "v1";
  readonly kind: "Pod";
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly uid?: string;
  };
  readonly spec: PodSpec;
}

/** A node: what stands for its host, and where its kubelet gets things from. */
export interface NodePlace {
  readonly libc: Libc;
  readonly name: string;
  readonly address: string;
  readonly netns: Netns;
  /** The folder that stands for the host's root. */
  readonly root: string;
  readonly image: Image;
  readonly cluster: ClusterAccess;
}

/** How a container ended. */
export interface ContainerEnd {
  readonly code: number;
  /** From the signal to the end. */
  readonly durationMs: number;
}

type ProbeKind = "startup" | "liveness" | "readiness";

const INIT_DEADLINE_MS = 60_000;
const USUAL_GRACE_S = 30;
let serial = 0;

/** The pod of a DaemonSet for one node. */
export function podOf(daemonSet: DaemonSet, nodeName: string): PodObject {
  const { name, namespace } = daemonSet.metadata;
  const { metadata, spec } = daemonSet.spec.template;
  const { labels, annotations } = metadata as PodObject["metadata"] | undefined ?? {};
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `${name}-${crypto.randomUUID().slice(0, 5)}`,
      namespace,
      ...labels && { labels },
      ...annotations && { annotations },
    },
    spec: { ...spec!, nodeName },
  };
}

/** A pod on a node, run as kubelet would. Disposal kills what runs and deletes what was made for the pod alone. */
export class RunningPod implements AsyncDisposable {
  readonly #place: NodePlace;
  readonly #folder: string;
  readonly #containers = new Map<string, OciContainer>();

  private constructor(readonly pod: PodObject, place: NodePlace, folder: string) {
    this.#place = place;
    this.#folder = folder;
  }

  /**
   * Runs the init containers one after another, then starts the others.
   *
   * @throws {Error} If an init container fails, with what it has written. Nothing is left then.
   */
  static async start(pod: PodObject, place: NodePlace): Promise<RunningPod> {
    if (!pod.spec.hostNetwork) {
      throw new Error("Cannot start a pod with a network of its own: this one gives it none");
    }
    const folder = await Deno.makeTempDir({ prefix: `loden${Deno.pid}-pod-` });
    const running = new RunningPod(pod, place, folder);
    try {
      const { spec } = pod;
      const { namespace } = pod.metadata;
      const mountsOf = await makeVolumes({
        spec,
        namespace,
        cluster: place.cluster,
        root: place.root,
        folder,
      });
      const launch = async (container: Container) => {
        const id = `lodentest-${Deno.pid}-${serial++}`;
        const ownFolder = `${folder}/${container.name}`;
        await Deno.mkdir(ownFolder);
        const isLimited = await hasCgroups();
        const config = await ociConfig({
          spec,
          container,
          image: place.image.config,
          environment: running.#environmentOf(container),
          mounts: mountsOf(container),
          netnsPath: place.netns.path,
          rootfs: "rootfs",
          ...isLimited && { cgroupsPath: `/${id}` },
        });
        const imageRootfs = place.image.rootfs;
        const started = await OciContainer.start({
          id,
          folder: ownFolder,
          imageRootfs,
          config,
          hasCgroups: isLimited,
        });
        running.#containers.set(container.name, started);
        return started;
      };
      for (const container of spec.initContainers ?? []) await runToEnd(container, await launch(container));
      for (const container of spec.containers) await launch(container);
      return running;
    } catch (error) {
      await running[Symbol.asyncDispose]();
      throw error;
    }
  }

  get name(): string {
    return this.pod.metadata.name;
  }

  /** What a container has written; the only one that is no init container if absent. */
  logs(container = this.#main.name): readonly string[] {
    return this.#container(container).lines;
  }

  /** The exit code of a container that has ended. */
  exitCode(container = this.#main.name): number | undefined {
    return this.#container(container).end?.code;
  }

  /** The process of a container, as the machine knows it. */
  async pid(container = this.#main.name): Promise<number> {
    return await until(`see the process of ${container}`, () => this.#container(container).pid());
  }

  /** Asks the containers to end and, past the grace, kills them; the pod's own grace if absent. */
  async stop(signal: Deno.Signal = "SIGTERM", graceMs?: number): Promise<ContainerEnd> {
    const grace = graceMs ?? (this.pod.spec.terminationGracePeriodSeconds ?? USUAL_GRACE_S) * 1000;
    const startedMs = performance.now();
    const { code } = await this.#container(this.#main.name).stop(signal, grace);
    return { code, durationMs: performance.now() - startedMs };
  }

  /** Asks once what kubelet asks again and again; a container without such a probe passes. */
  async probe(kind: ProbeKind): Promise<boolean> {
    const probe: Probe | undefined = this.#main[`${kind}Probe`];
    if (probe === undefined) return this.exitCode() === undefined;
    const { httpGet } = probe;
    if (httpGet === undefined) throw new Error(`Cannot make the ${kind} probe: only httpGet is known here`);
    const named = this.#main.ports?.find(({ name }) => name === httpGet.port)?.containerPort;
    return await probeHttp(this.#place.libc, this.#place.netns, {
      host: httpGet.host ?? this.#place.address,
      port: Number(named ?? httpGet.port),
      path: httpGet.path ?? "/",
      timeoutMs: (probe.timeoutSeconds ?? 1) * 1000,
    });
  }

  /**
   * Waits until the pod is ready.
   *
   * @throws {Error} If it ends before, or is not ready in time, with the last lines of its log.
   */
  async untilReady(): Promise<void> {
    const tail = () => this.logs().slice(-10).join("\n");
    await until(`see ${this.name} ready`, async () => {
      const code = this.exitCode();
      if (code !== undefined) throw new Error(`Cannot start ${this.name}: exit code ${code}\n${tail()}`);
      return await this.probe("readiness") || undefined;
    }, tail);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const container of this.#containers.values()) await container[Symbol.asyncDispose]();
    await Deno.remove(this.#folder, { recursive: true });
  }

  get #main(): Container {
    const [main, ...others] = this.pod.spec.containers;
    if (main === undefined || others.length > 0) {
      throw new Error("Cannot run a pod of other than one container");
    }
    return main;
  }

  #container(name: string): OciContainer {
    const container = this.#containers.get(name);
    if (container === undefined) throw new Error(`Cannot find container ${name}: it was not started`);
    return container;
  }

  #environmentOf(container: Container): Map<string, string> {
    const { cluster: { serviceHost, servicePort }, name } = this.#place;
    const url = `tcp://${serviceHost}:${servicePort}`;
    const environment = new Map([
      ["HOSTNAME", name],
      ["KUBERNETES_SERVICE_HOST", serviceHost],
      ["KUBERNETES_SERVICE_PORT", String(servicePort)],
      ["KUBERNETES_SERVICE_PORT_HTTPS", String(servicePort)],
      ["KUBERNETES_PORT", url],
      [`KUBERNETES_PORT_${servicePort}_TCP`, url],
      [`KUBERNETES_PORT_${servicePort}_TCP_PROTO`, "tcp"],
      [`KUBERNETES_PORT_${servicePort}_TCP_PORT`, String(servicePort)],
      [`KUBERNETES_PORT_${servicePort}_TCP_ADDR`, serviceHost],
    ]);
    for (const { name, value = "", valueFrom } of container.env ?? []) {
      const path = valueFrom?.fieldRef?.fieldPath;
      const resource = valueFrom?.resourceFieldRef?.resource;
      if (path !== undefined) environment.set(name, this.#field(path));
      else if (resource === "limits.memory") {
        environment.set(name, String(parseQuantity(container.resources?.limits?.memory ?? "0")));
      } else if (valueFrom !== undefined) {
        throw new Error(`Cannot set ${name}: where it comes from is not known here`);
      } else environment.set(name, expand(value, environment));
    }
    return environment;
  }

  #field(path: string): string {
    const { metadata, spec } = this.pod;
    const { name, address } = this.#place;
    const fields: Readonly<Record<string, string | undefined>> = {
      "spec.nodeName": name,
      "spec.serviceAccountName": spec.serviceAccountName,
      "metadata.name": metadata.name,
      "metadata.namespace": metadata.namespace,
      "metadata.uid": metadata.uid,
      "status.hostIP": address,
      "status.podIP": address,
      "status.podIPs": address,
    };
    const value = fields[path];
    if (value === undefined) {
      throw new Error(`Cannot read field ${path} of ${metadata.name}: it is not known here`);
    }
    return value;
  }
}

async function runToEnd({ name }: Container, container: OciContainer): Promise<void> {
  const timer = setTimeout(() => container.signal("SIGKILL"), INIT_DEADLINE_MS);
  const { code } = await container.ended;
  clearTimeout(timer);
  if (code !== 0) {
    throw new Error(`Cannot run init container ${name}: exit code ${code}\n${container.lines.join("\n")}`);
  }
}
