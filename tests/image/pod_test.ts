import { assert, assertEquals, assertRejects } from "@std/assert";
import { ensureImage } from "../../.ci/image.ts";
import { namesIn, temporaryFolder } from "../../src/lab/names.ts";
import { Netns, processesIn } from "../../src/lab/netns.ts";
import { defaultNetworkConfig } from "../../src/lab/plan.ts";
import { AF_INET } from "../../src/model/address.ts";
import { Libc } from "../../src/linux/libc.ts";
import { until } from "../double/overlay_rig.ts";
import { type NodePlace, type PodObject, RunningPod } from "./daemon_set.ts";

/** What ends a process by SIGKILL is seen as this exit code. */
const KILLED = 128 + 9;

/** A node without a cluster, for pods that need none. */
async function withPlace(run: (place: NodePlace) => Promise<void>): Promise<void> {
  const image = await ensureImage();
  using libc = new Libc();
  const root = await Deno.makeTempDir({ prefix: "loden-node-" });
  try {
    const signal = new AbortController().signal;
    await using netns = await Netns.create(libc, `lodentest-${Deno.pid}-node`, { signal });
    const cluster = {
      caPem: "the authority",
      serviceHost: "10.96.0.1",
      servicePort: 443,
      token: (namespace: string, account: string) => Promise.resolve(`${namespace}/${account}`),
      configMap: (_namespace: string, name: string) => Promise.resolve({ "in": name }),
    };
    await run({ libc, name: "h1", address: "192.0.2.1", netns, root, image, cluster });
    assertEquals(await processesIn(netns.name), [], "processes that are left");
  } finally {
    await Deno.remove(root, { recursive: true });
  }
  assertEquals(
    (await namesIn(temporaryFolder())).filter((name) => name.startsWith(`loden${Deno.pid}-pod-`)),
    [],
  );
}

/** A pod that starts an agent which has no network to join, after an init container that runs `command`. */
function podWith(command: readonly string[]): PodObject {
  const flags = ["-local-registry=/run/flannel/registry.db", "-net-config-path=/run/flannel/net-conf.json"];
  const volumeMounts = [{ name: "run", mountPath: "/run/flannel" }, {
    name: "bin",
    mountPath: "/opt/cni/bin",
  }];
  const securityContext = { capabilities: { add: ["NET_ADMIN"] } };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default" },
    spec: {
      hostNetwork: true,
      initContainers: [{ name: "first", image: "loden", command: [...command], volumeMounts }],
      containers: [{ name: "main", image: "loden", args: flags, securityContext, volumeMounts }],
      volumes: [
        { name: "run", hostPath: { path: "/run/flannel", type: "DirectoryOrCreate" } },
        { name: "bin", hostPath: { path: "/opt/cni/bin", type: "DirectoryOrCreate" } },
      ],
    },
  };
}

Deno.test("an init container that fails keeps the others from starting, and nothing is left", async () => {
  await withPlace(async (place) => {
    const words = "there is no such command";
    await assertRejects(() => RunningPod.start(podWith(["/opt/bin/loden", "nonsense"]), place), Error, words);
  });
});

Deno.test("a volume that can't be made keeps a pod from starting, and nothing is left", async () => {
  await withPlace(async (place) => {
    await Deno.writeTextFile(`${place.root}/run`, "a file");
    await assertRejects(
      () => RunningPod.start(podWith(["/opt/bin/loden", "version"]), place),
      Error,
      "/run/flannel",
    );
  });
});

Deno.test("a container is killed when its grace is over, and what it has written stays to be read", async () => {
  await withPlace(async (place) => {
    const { netns } = place;
    await netns.mustExec("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer");
    await netns.mustExec("ip", "link", "set", "peer", "up");
    await netns.mustExec("ip", "address", "add", "192.0.2.1/24", "dev", "eth0");
    await netns.mustExec("ip", "link", "set", "eth0", "up");
    await netns.mustExec("ip", "route", "add", "default", "dev", "eth0");
    await Deno.mkdir(`${place.root}/run/flannel`, { recursive: true });
    const config = JSON.stringify(defaultNetworkConfig([AF_INET]));
    await Deno.writeTextFile(`${place.root}/run/flannel/net-conf.json`, config);
    await using pod = await RunningPod.start(podWith(["/opt/bin/loden", "install-cni"]), place);
    assertEquals(pod.exitCode("first"), 0);
    assert(
      (await Deno.stat(`${place.root}/opt/cni/bin/flannel`)).isFile,
      "the init container installs the plugin",
    );
    // It says other things before.
    const hasStarted = () => pod.logs().some((line) => line.includes("agent started"));
    await until("read in the agent's log that it has started", () => hasStarted() || undefined);
    // It can't end by itself then.
    Deno.kill(await pod.pid(), "SIGSTOP");
    const { code } = await pod.stop("SIGTERM", 0);
    assertEquals(code, KILLED, pod.logs().join("\n"));
    assert(hasStarted(), pod.logs().join("\n"));
  });
});
