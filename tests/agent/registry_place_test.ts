import { assertEquals, assertRejects } from "@std/assert";
import { registryPlace } from "../../src/agent/registry_place.ts";
import type { RegistryOptions } from "../../src/config/registry_flags.ts";
import type { Log } from "../../src/log/log.ts";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";

const log: Log = { write: () => {} };
const KUBE: RegistryOptions = {
  kind: "kube",
  apiUrl: "http://127.0.0.1:1",
  kubeconfigFile: "",
  annotationPrefix: "flannel.alpha.coreos.com/",
  clearsCondition: true,
};
const CONTEXT = {
  families: [{
    family: 2 as const,
    network: parsePrefix("10.244.0.0/16"),
    subnetLength: 24,
    subnetMin: parseAddress("10.244.1.0"),
    subnetMax: parseAddress("10.244.255.0"),
  }],
  ownAddresses: () => [parseAddress("192.0.2.1")],
  previousSubnets: [],
  token: undefined,
  ownChanged: () => {},
  back: () => {},
};

function placeOf(options: RegistryOptions, environment: Record<string, string> = {}) {
  return registryPlace(options, { log, environment, watchFiles: () => undefined });
}

Deno.test("registryPlace() finds the registry of this machine, which knows the host by its address", async () => {
  const folder = await Deno.makeTempDir();
  try {
    using place = await placeOf({ kind: "local", path: `${folder}/registry.db` });
    using opened = place.open(CONTEXT);
    assertEquals([place.name, place.isOnDisk], [`local ${folder}/registry.db`, true]);
    const [family] = CONTEXT.families;
    const parts = [{ underlayAddress: family!.subnetMin, backendData: null }];
    const { signal } = new AbortController();
    await opened.registry.acquire({ backendType: "alloc", parts, origin: {} }, { signal });
    assertEquals([opened.registry.host, opened.announce, place.readNetworkConfig], [
      "192.0.2.1",
      undefined,
      undefined,
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("registryPlace() finds Kubernetes, which says how the host is, and knows it by its node", async () => {
  using place = await placeOf(KUBE, { NODE_NAME: "n1" });
  using opened = place.open(CONTEXT);
  assertEquals([place.name, place.isOnDisk], ["kube flannel.alpha.coreos.com/", false]);
  assertEquals([opened.registry.host, typeof opened.announce, opened.publicAddresses!()], [
    "n1",
    "function",
    {},
  ]);
});

Deno.test("registryPlace() finds etcd, which keeps the network configuration too", async () => {
  using place = await placeOf({ kind: "etcd", endpoints: ["http://127.0.0.1:1"], prefix: "/net", tls: {} });
  using opened = place.open(CONTEXT);
  assertEquals([place.name, place.isOnDisk, typeof place.readNetworkConfig], [
    "etcd /net",
    false,
    "function",
  ]);
  assertEquals(opened.registry.host, undefined);
});

const refused: [name: string, environment: Record<string, string>, apiUrl: string, message: string][] = [
  [
    "its node",
    {},
    "http://127.0.0.1:1",
    "NODE_NAME, or POD_NAME and POD_NAMESPACE, must say which node this host is",
  ],
  [
    "its pod's namespace",
    { POD_NAME: "x" },
    "http://127.0.0.1:1",
    "NODE_NAME, or POD_NAME and POD_NAMESPACE",
  ],
  ["the API server", { NODE_NAME: "n1" }, "", "this is no pod of Kubernetes"],
];

for (const [name, environment, apiUrl, message] of refused) {
  Deno.test(`registryPlace() says what to do where nobody names ${name}`, async () => {
    await assertRejects(() => placeOf({ ...KUBE, apiUrl }, environment), Error, message);
  });
}
