import { AF_INET, parseAddress } from "../../src/model/address.ts";
import type { Lab } from "../../src/lab/lab.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { addAddress, linkIndexOf } from "../../src/lab/wiring.ts";
import { defaultNetworkConfig } from "../../src/lab/plan.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { ApiServerDouble, type Backup } from "../double/api_server.ts";
import { type Authority, type Certificate, makeAuthority } from "../double/certificates.ts";
import { EtcdServer } from "../double/etcd.ts";
import { FireFront } from "../double/fire_front.ts";
import { withOverlay } from "../double/overlay_rig.ts";
import { ETCD_PREFIX, nodeOf, SERVER_ADDRESS } from "../double/overlay_servers.ts";
import { Relay } from "../double/relay.ts";
import { flannelValue } from "../registry/etcd/etcd_world.ts";
import { memberNode } from "../registry/kube/servers.ts";

/** Members that are there all the time, and may never be missed. */
export const VETERANS = 12;
/** Members that come, change and go. */
const OTHERS = 30;
/** Where members' subnets begin, above those that hosts of the lab may get. */
const FIRST_MEMBER = 100;
const PORT = 2379;
const JUNK_KEYS = 5;
const JUNK_BYTES = 1_400_000;

/**
 * What else is written after a backup: a registry whose version has overtaken itself before anybody looks can't be told
 * from one that went on.
 */
const SINCE_BACKUP = 500;

/** A registry that a test may change, harm and bring back. */
export interface FireRegistry {
  readonly name: "etcd" | "Kubernetes";
  /** Writes a member, or writes it anew. */
  put(number: number, mac: string): Promise<void>;
  remove(number: number): Promise<void>;
  has(number: number): Promise<boolean>;
  /** Makes the node of a host, where hosts have one before they come. */
  prepare(host: LabHost): Promise<void>;
  /** What it does to those who follow it, besides what a front can do; each is over when its promise is. */
  readonly faults: Readonly<Record<string, () => Promise<void>>>;
  readonly url: string;
  flags(lab: Lab, files: TlsPaths): Promise<readonly string[]>;
}

/** Where the files are that the agent speaks TLS with. */
export interface TlsPaths {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** All that burns: a lab of one host, its registry, what stands between them, and the files of both. */
export interface FireWorld {
  readonly lab: Lab;
  readonly libc: Libc;
  readonly registry: FireRegistry;
  readonly front: FireFront;
  readonly relay: Relay;
  readonly tls: TlsPaths;
  /** A key and a certificate of the same authority that are no pair with the agent's. */
  readonly foreign: Certificate;
  readonly flags: readonly string[];
  readonly random: () => number;
  readonly churn: () => Promise<void>;
}

/** The subnet of a member: `10.244.100.0/24`. */
export function subnetOf(number: number): string {
  return `10.244.${FIRST_MEMBER + number}.0/24`;
}

function addressOf(number: number): string {
  return `198.51.100.${number + 1}`;
}

/** Opens a registry. */
export function openRegistry(name: FireRegistry["name"]): Promise<FireRegistry & AsyncDisposable> {
  return name === "etcd" ? openEtcd() : openKube();
}

async function openEtcd(): Promise<FireRegistry & AsyncDisposable> {
  const server = await EtcdServer.open();
  const config = { ...defaultNetworkConfig([AF_INET]), SubnetMin: "10.244.1.0", SubnetMax: "10.244.20.0" };
  const configure = () => server.put(`${ETCD_PREFIX}/config`, JSON.stringify(config));
  await configure();
  let backup: string | undefined;
  const keyOf = (number: number) => `${ETCD_PREFIX}/subnets/${subnetOf(number).replace("/", "-")}`;
  const junkKey = (at: number) => `${ETCD_PREFIX}/subnets/junk-${at}`;
  const keep = async () => {
    backup = await server.backUp();
    await Promise.all(Array.from({ length: SINCE_BACKUP }, () => server.put("/elsewhere", "")));
  };
  const restart = async () => {
    await server.stop();
    await server.start();
  };
  return {
    name: "etcd",
    url: server.url,
    put: (number, mac) => server.put(keyOf(number), flannelValue(addressOf(number), mac)),
    remove: (number) => server.delete(keyOf(number)),
    has: async (number) => keyOf(number) in await server.list(keyOf(number)),
    prepare: () => Promise.resolve(),
    faults: {
      "etcd is compacted": () => server.compact(),
      "etcd is restarted": restart,
      "etcd is backed up": keep,
      "etcd goes back to what it was": () => backup ? server.restore(backup) : keep(),
      "the configuration is junk for a moment": async () => {
        await server.put(`${ETCD_PREFIX}/config`, "{");
        await new Promise((resolve) => setTimeout(resolve, 500));
        await configure();
      },
      "keys of 1.4 MB come and go": async () => {
        for (let at = 0; at < JUNK_KEYS; at++) await server.put(junkKey(at), "j".repeat(JUNK_BYTES));
        for (let at = 0; at < JUNK_KEYS; at++) await server.delete(junkKey(at));
      },
      "a thousand junk keys come and stay": async () => {
        for (let at = 0; at < 1000; at += 100) {
          await server.putAll(Array.from({ length: 100 }, (_, more) => [junkKey(at + more), "[junk"]));
        }
      },
    },
    flags: (_lab, { caFile, certFile, keyFile }) =>
      Promise.resolve([
        "-local-registry=",
        `-etcd-endpoints=https://${SERVER_ADDRESS}:${PORT}`,
        ...[`-etcd-cafile=${caFile}`, `-etcd-certfile=${certFile}`, `-etcd-keyfile=${keyFile}`],
      ]),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function openKube(): Promise<FireRegistry & AsyncDisposable> {
  const server = await ApiServerDouble.open();
  let backup: Backup | undefined;
  const restart = async () => {
    await server.stop();
    await server.start();
  };
  const keep = () => {
    backup = server.backUp();
    server.restore({ ...backup, revision: backup.revision + SINCE_BACKUP });
    return Promise.resolve();
  };
  const nameOf = (number: number) => `member-${number}`;
  const junkNode = (at: number) => ({
    metadata: {
      name: `junk-${at}`,
      annotations: { "flannel.alpha.coreos.com/backend-data": "j".repeat(200_000) },
    },
  });
  return {
    name: "Kubernetes",
    url: server.url,
    put: async (number, mac) => {
      const node = memberNode(nameOf(number), subnetOf(number), addressOf(number), mac);
      if (await server.node(nameOf(number)) === undefined) await server.createNode(node);
      else await server.patchNode(nameOf(number), { metadata: node.metadata });
    },
    remove: (number) => server.deleteNode(nameOf(number)),
    has: async (number) => await server.node(nameOf(number)) !== undefined,
    prepare: async ({ name }) => await server.createNode(nodeOf(Number(name.slice(1)), { name })),
    faults: {
      "the API server forgets what has changed": () => Promise.resolve(server.compact()),
      "the API server ends all watches": () => Promise.resolve(server.dropWatches()),
      "the API server is restarted": restart,
      "what is in the API server is backed up": keep,
      "the API server goes back to what it was": () => {
        if (backup === undefined) return keep();
        server.restore(backup);
        return restart();
      },
      "nodes with large junk come and go": async () => {
        for (let at = 0; at < JUNK_KEYS; at++) await server.createNode(junkNode(at));
        for (let at = 0; at < JUNK_KEYS; at++) await server.deleteNode(`junk-${at}`);
      },
      "a node is made again, with the same name": async () => {
        const mac = "0e:00:00:00:09:09";
        await server.createNode(memberNode("again", "10.244.99.0/24", "198.51.100.99", mac));
        await server.deleteNode("again");
        await server.createNode(memberNode("again", "10.244.98.0/24", "198.51.100.98", mac));
        await server.deleteNode("again");
      },
    },
    flags: async (lab, { caFile, certFile, keyFile }) => {
      const path = `${lab.directory}/kubeconfig`;
      const cluster = { server: `https://${SERVER_ADDRESS}:${PORT}`, "certificate-authority": caFile };
      const user = {
        token: server.tokens.agent,
        "client-certificate": certFile,
        "client-key": keyFile,
      };
      await Deno.writeTextFile(
        path,
        JSON.stringify({
          "current-context": "lab",
          contexts: [{ name: "lab", context: { cluster: "lab", user: "agent" } }],
          clusters: [{ name: "lab", cluster }],
          users: [{ name: "agent", user }],
        }),
      );
      return ["-local-registry=", "-kube-subnet-mgr", `-kubeconfig-file=${path}`];
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Opens a lab of one host without an agent, beside a registry with its first members, and runs `run` in it. */
export async function withFire(
  name: FireRegistry["name"],
  random: () => number,
  run: (world: FireWorld) => Promise<void>,
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await openRegistry(name));
  const folder = await Deno.makeTempDir({ prefix: "loden-fire-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const authority = await makeAuthority(folder);
  const addresses = [SERVER_ADDRESS];
  const certificate = await authority.issue({ name: "server", commonName: "server", addresses });
  const front = stack.use(new FireFront(() => registry.url, { random, certificate }));
  const agentEnvironment = (hostName: string) => ({ NODE_NAME: hostName });
  await withOverlay({ hosts: 1, withAgents: false, agentEnvironment }, async (lab, libc) => {
    const bridge = linkIndexOf(lab.underlay.client, "switch");
    addAddress(lab.underlay.client, bridge, { address: parseAddress(SERVER_ADDRESS), length: 24 });
    const place = { netns: lab.underlay.name, hostname: SERVER_ADDRESS, port: PORT, targetPort: front.port };
    await using relay = await Relay.open(place);
    const { tls, foreign } = await issueAll(authority);
    await registry.prepare(lab.hosts[0]!);
    for (let number = 0; number < VETERANS; number++) await registry.put(number, macOf(number));
    const flags = [...await registry.flags(lab, tls), "-ip-masq", "-v=1"];
    let serial = 1000;
    const churn = async () => {
      for (let changes = Math.floor(random() * 6); changes > 0; changes--) {
        const number = VETERANS + Math.floor(random() * OTHERS);
        const isThere = await registry.has(number);
        if (isThere && random() < 0.5) await registry.remove(number);
        else await registry.put(number, macOf(++serial));
      }
    };
    await run({ lab, libc, registry, front, relay, tls, foreign, flags, random, churn });
  });
}

async function issueAll(authority: Authority): Promise<{ tls: TlsPaths; foreign: Certificate }> {
  const own = await authority.issue({ name: "own", commonName: "h1" });
  const foreign = await authority.issue({ name: "foreign", commonName: "h2" });
  const { caFile } = authority;
  return { tls: { caFile, certFile: own.certFile, keyFile: own.keyFile }, foreign };
}

function macOf(number: number): string {
  const [high, low] = [number >> 8, number & 255].map((byte) => byte.toString(16).padStart(2, "0"));
  return `0e:00:00:01:${high}:${low}`;
}
