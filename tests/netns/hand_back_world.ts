import { compiledBinary } from "../../.ci/binary.ts";
import { AgentProcess } from "../../src/lab/agent_process.ts";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { writeLease } from "../../src/registry/local/local_acquire.ts";
import { LocalFile } from "../../src/registry/local/local_file.ts";
import type { Run } from "../double/flanneld_leaves.ts";
import { type CommandResult, createUnderlayLink, TestNetns } from "../double/netns.ts";
import { until } from "../double/overlay_rig.ts";

/** What a host is handed back from. */
export interface WorldOptions {
  readonly backend: Readonly<Record<string, unknown>>;
  /** What its leases say: `vxlan` or `host-gw`. */
  readonly leaseType: string;
  readonly isDual: boolean;
  readonly usesNftables?: boolean;
}

/**
 * `$1` is in the place of the machine's /etc for the rest of the line, and for nobody else: ip-netns(8) unshares mounts.
 * There are no certificates in it.
 */
const WITH_ETC = 'mount --bind "$1" /etc; shift; unset DENO_TLS_CA_STORE; exec "$@"';
const UNNAMED = /\/\.\S+[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** What an agent has written once it is at rest. */
const FILES = [
  "net.d/10-flannel.conflist",
  "run/subnet.env",
  "run/flags.json",
  "run/agent.json",
  "run/history.json",
];
const MANAGERS = "etc/NetworkManager/conf.d";
export const VXLAN: WorldOptions = { backend: { Type: "vxlan" }, leaseType: "vxlan", isDual: false };

/** The host of flanneld's files in `tests/double/flanneld`, with a real agent of Loden on it. */
export class HandBackWorld implements AsyncDisposable {
  #agent: AgentProcess | undefined;

  private constructor(
    readonly netns: TestNetns,
    readonly folder: string,
    readonly options: WorldOptions,
    readonly binary: string,
  ) {}

  static async create(options: WorldOptions): Promise<HandBackWorld> {
    const binary = await compiledBinary();
    const folder = await Deno.makeTempDir({ prefix: "lodentest-back-" });
    const world = new HandBackWorld(await TestNetns.create(), folder, options, binary);
    await createUnderlayLink(world.netns, {
      name: "eth0",
      address4: "192.0.2.1/24",
      address6: "2001:db8::1/64",
      gateway4: "192.0.2.254",
      gateway6: "2001:db8::fe",
    });
    for (const path of ["run", "net.d", "bin", "data", "networks", "results", MANAGERS]) {
      await Deno.mkdir(world.path(path), { recursive: true });
    }
    await Deno.writeTextFile(world.path("bin/flannel"), "", { mode: 0o755 });
    const { isDual, usesNftables = false, backend } = options;
    const config = {
      Network: "10.244.0.0/16",
      ...isDual && { EnableIPv6: true, IPv6Network: "fd00:10:244::/56" },
      EnableNFTables: usesNftables,
      Backend: backend,
    };
    await Deno.writeTextFile(world.path("net-conf.json"), JSON.stringify(config));
    await Deno.writeTextFile(world.path("cni-conf.json"), world.source);
    world.#writeLeases();
    return world;
  }

  path(name: string): string {
    return `${this.folder}/${name}`;
  }

  get subnetFilePath(): string {
    return this.path("run/subnet.env");
  }

  get conflistPath(): string {
    return this.path("net.d/10-flannel.conflist");
  }

  /** The conflist of flannel's manifest, with this host's places. */
  get source(): string {
    const plugin = {
      type: "flannel",
      subnetFile: this.subnetFilePath,
      dataDir: this.path("data"),
      ipam: { dataDir: this.path("networks") },
      delegate: { hairpinMode: true, isDefaultGateway: true },
    };
    return `${
      JSON.stringify({ name: "cbr0", cniVersion: "0.3.1", plugins: [plugin, { type: "tuning" }] })
    }\n`;
  }

  /** Runs a program on the host, which must succeed. */
  readonly run: Run = async (command, ...args) => {
    const { code, stdout, stderr } = await this.netns.run(command, ...args);
    if (code !== 0) throw new Error(`Cannot run ${command} ${args.join(" ")}: ${stderr.trim()}`);
    return stdout;
  };

  #writeLeases(): void {
    const { leaseType: backendType, isDual } = this.options;
    const lease = (number: number): Lease => ({
      host: `192.0.2.${number}`,
      backendType,
      parts: [[`10.244.${number}.0/24`, `192.0.2.${number}`, `aa:bb:cc:00:00:0${number}`], [
        `fd00:10:244:${number}::/64`,
        `2001:db8::${number}`,
        `aa:bb:cc:00:00:6${number}`,
      ]].slice(0, isDual ? 2 : 1).map(([subnet, address, VtepMAC]) => ({
        subnet: parsePrefix(subnet!),
        underlayAddress: parseAddress(address!),
        backendData: backendType === "vxlan" ? { VNI: 1, VtepMAC } : null,
      })),
    });
    using file = new LocalFile(this.path("registry.db"));
    file.transaction("IMMEDIATE", "write leases", () => {
      for (const number of [1, 2]) writeLease(file, lease(number), "write a lease");
    });
  }

  /** Starts the agent, and waits until all is as it wants it. */
  async startAgent(...flags: string[]): Promise<void> {
    this.#agent = AgentProcess.start({
      netns: this.netns.name,
      logPath: this.path("agent.log"),
      environment: {},
      command: [
        this.binary,
        "agent",
        `-local-registry=${this.path("registry.db")}`,
        `-net-config-path=${this.path("net-conf.json")}`,
        `-subnet-file=${this.subnetFilePath}`,
        `-cni-conf=${this.conflistPath}`,
        `-cni-conf-from=${this.path("cni-conf.json")}`,
        "-machine-id-file=",
        "-iface=eth0",
        "-ip-masq",
        "-unmanaged-files=false",
        "-log-format=json",
        ...flags,
      ],
    });
    await until("see the agent at rest", async () => {
      const routes = await this.run("ip", "route", "show", "10.244.2.0/24");
      const tables = await this.run("nft", "list", "tables");
      const files = await this.files();
      const isThere = FILES.every((name) => files.includes(name));
      return isThere && routes !== "" && tables.includes("loden") || undefined;
    }, () => Deno.readTextFileSync(this.path("agent.log")).slice(-2000));
  }

  async stopAgent(): Promise<void> {
    await this.#agent?.stop();
    this.#agent = undefined;
    await Deno.writeTextFile(
      this.path(`${MANAGERS}/zz-loden.conf`),
      "# Written by loden: other programs leave the overlay's links alone.\n",
    );
  }

  /** `loden hand-back`, the binary. */
  handBack(...args: string[]): Promise<CommandResult> {
    return this.netns.run("sh", "-ec", WITH_ETC, "sh", this.path("etc"), ...this.command(...args));
  }

  /** What starts it. */
  command(...args: string[]): readonly string[] {
    return [
      this.binary,
      "hand-back",
      `-subnet-file=${this.subnetFilePath}`,
      `-cni-bin-dir=${this.path("bin")}`,
      `--networks-dir=${this.path("networks")}`,
      `--results-dir=${this.path("results")}`,
      ...args,
    ];
  }

  /** All files of the host; what a writer that was killed has left unnamed is none, and removed by who writes the next. */
  async files(): Promise<string[]> {
    const found: string[] = [];
    for (const folder of ["run", "net.d", "data", MANAGERS]) {
      for await (const { name } of Deno.readDir(this.path(folder))) found.push(`${folder}/${name}`);
    }
    return found.filter((path) => !UNNAMED.test(path)).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent?.stop();
    await this.netns[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}
