import { array, boolean, catch as fallback, type infer as Infer, object, string } from "zod/mini";
import { parseConfig, type ReadConfig, readConfigAside } from "../../agent/network_config.ts";
import { type RegistryPlace, registryPlace } from "../../agent/registry_place.ts";
import type { Options } from "../../config/options.ts";
import { isFile } from "../../file/read_file.ts";
import { EACCES, ENOENT, isErrno } from "../../linux/errno.ts";
import { Libc } from "../../linux/libc.ts";
import { SystemFacts } from "../../linux/system_facts.ts";
import { readWhole } from "../../linux/unix_claim.ts";
import { SILENT } from "../../log/log.ts";
import { LinkedAbort } from "../../loop/linked_abort.ts";
import type { ObservedLink } from "../../model/state.ts";
import type { Underlay } from "../../model/underlay.ts";
import { NetlinkClient } from "../../netlink/client.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../../netlink/socket.ts";
import { awakeChains, dumpChains, dumpTables, type FoundTable } from "../../nftables/dump.ts";
import type { NftChain } from "../../nftables/objects.ts";
import type { Backend } from "../../overlay/backend/backend.ts";
import { makeBackend } from "../../overlay/backend/make_backend.ts";
import { vtepNames } from "../../overlay/backend/vxlan.ts";
import { observeHostNetwork } from "../../overlay/underlay/host_network.ts";
import { weighUnderlay } from "../../overlay/underlay/underlay.ts";
import { dumpLinks } from "../../rtnetlink/link.ts";
import { MAX_CACHE_BYTES, parseLeaseCache } from "../../registry/lease_cache.ts";
import { askAgent } from "../agent_door.ts";
import { bridgeOf, type FoundConflists, readConflists } from "./conflists.ts";
import { UnseenError } from "./finding.ts";
import { follow, type Followed } from "./follow.ts";
import { HostFiles } from "./host_files.ts";

const ROOT_USER = 0;

/** An agent that works answers sooner. */
const AGENT_MS = 1500;
const text = fallback(string(), "");
/** What is read of `/status`. */
const agentSchema = object({
  ready: boolean(),
  conditions: fallback(
    array(object({ code: text, severity: text, reason: text, remedy: text })),
    [],
  ),
});

/** What an agent says of itself. */
export type AgentWords = Infer<typeof agentSchema>;

/** What is looked at, and by which flags. */
export interface DoctorPlaceOptions {
  readonly options: Options;
  /** The flags and variables that were given, by name. */
  readonly given: ReadonlySet<string>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Flags that the last agent had and that are noted nowhere, as they are secrets: `-etcd-password`. */
  readonly leftOut?: readonly string[];
  /** Why it is not known what the last agent had; `undefined` where it is, or there was none. */
  readonly fault?: Error | undefined;
  /** Where the host's files are; `/` unless told. */
  readonly root?: string;
}

/** The host that is looked at. What several checks need is read once, when the first asks for it. */
export class DoctorPlace implements Disposable {
  readonly #stack = new DisposableStack();
  readonly #abort: LinkedAbort;
  readonly #known = new Map<string, unknown>();
  readonly files: HostFiles;
  readonly options: Options;
  readonly given: ReadonlySet<string>;
  readonly leftOut: readonly string[];
  readonly flagsFault: Error | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  readonly libc: Libc;
  readonly system: SystemFacts;

  constructor({ options, given, environment, signal, leftOut = [], fault, root = "/" }: DoctorPlaceOptions) {
    this.options = options;
    this.given = given;
    this.leftOut = leftOut;
    this.flagsFault = fault;
    this.environment = environment;
    this.#abort = this.#stack.use(new LinkedAbort(signal));
    this.signal = this.#abort.signal;
    this.libc = this.#stack.use(new Libc());
    this.system = this.#stack.use(new SystemFacts(this.libc));
    this.files = new HostFiles(this.libc, root);
  }

  /** Whether the kernel tells this process all. */
  get isRoot(): boolean {
    return this.libc.call.geteuid() === ROOT_USER;
  }

  /** @throws {UnseenError} If this process is not root. */
  requireRoot(): void {
    if (!this.isRoot) throw new UnseenError("only root sees it");
  }

  /** Speaks with the kernel about links, addresses, routes. */
  get client(): NetlinkClient {
    return this.#once("client", () => new NetlinkClient(this.#stack.use(NetlinkSocket.open(this.libc))));
  }

  /** Speaks with the kernel about the packet filter. */
  get nft(): NetlinkClient {
    this.requireRoot();
    return this.#once("nft", () => {
      const socket = NetlinkSocket.open(this.libc, { protocol: NETLINK_NETFILTER });
      return new NetlinkClient(this.#stack.use(socket));
    });
  }

  get links(): readonly ObservedLink[] {
    return this.#once("links", () => dumpLinks(this.client));
  }

  /** All chains of the packet filter. */
  get chains(): readonly NftChain[] {
    return this.#once("chains", () => [...dumpChains(this.nft, () => true).values()]);
  }

  /** All its tables. */
  get tables(): readonly FoundTable[] {
    return this.#once("tables", () => dumpTables(this.nft));
  }

  /** Those of its chains that the kernel runs. */
  get awakeChains(): readonly NftChain[] {
    return awakeChains(this.chains, this.tables);
  }

  /**
   * The network configuration that an agent would use.
   *
   * @throws {UnseenError} If it can't be had: one check says why, and the others that they need it.
   */
  get config(): Promise<ReadConfig> {
    return this.#once("config", () =>
      this.givenConfig.catch(async (error) => {
        const remembered = await this.#rememberedConfig().catch(() => undefined);
        if (remembered !== undefined) return remembered;
        throw new UnseenError("the network configuration is not known", { cause: error });
      }));
  }

  /**
   * The same, as it is now where it is kept.
   *
   * @throws {Error} If it can't be had, or is wrong: one sentence.
   */
  get givenConfig(): Promise<ReadConfig> {
    return this.#once("given", () => this.#readConfig());
  }

  /** The backend that it names. */
  get backend(): Promise<Backend> {
    return this.#once("backend", async () => {
      const { config: { families, backend } } = await this.config;
      return makeBackend(backend, {
        networks: families.map(({ network }) => network),
        hasBlackholeRoute: false,
      });
    });
  }

  /** What the registry says of all hosts, as far as it has said anything within some seconds. */
  get followed(): Promise<Followed> {
    return this.#once("followed", async () => await follow(this));
  }

  /** The registry that the flags name. */
  get registry(): Promise<RegistryPlace> {
    return this.#once("registry", () => this.#openRegistry());
  }

  /**
   * The underlay that an agent would choose.
   *
   * @throws {UnseenError} If there is none: one check says why.
   */
  get underlay(): Promise<Underlay> {
    return this.#once("underlay", () =>
      this.chosenUnderlay.catch((error) => {
        throw error instanceof UnseenError
          ? error
          : new UnseenError("there is no underlay", { cause: error });
      }));
  }

  /**
   * The same.
   *
   * @throws {Error} If there is none: why, and what to do.
   */
  get chosenUnderlay(): Promise<Underlay> {
    return this.#once("chosen", async () => {
      const { config: { families, backend } } = await this.config;
      const { underlay } = weighUnderlay(observeHostNetwork(this.client), {
        ...this.options,
        networks: families.map(({ network }) => network),
        vtepNames: "vni" in backend ? vtepNames(backend.vni) : [],
        nodeAddresses: [],
        families: families.map(({ family }) => family),
      }, {});
      return underlay;
    });
  }

  /**
   * What the agent of this host says of itself; `undefined` if none runs.
   *
   * @throws {AgentDoorError} If one does not answer, or may not be asked.
   */
  get agent(): Promise<AgentWords | undefined> {
    return this.#once("agent", async () => {
      const answer = await askAgent(this.options.subnetFilePath, "/status", { timeoutMs: AGENT_MS });
      if (answer === undefined) return undefined;
      const { data } = agentSchema.safeParse(answer);
      if (data === undefined) throw new UnseenError("the agent says what this version does not understand");
      return data;
    });
  }

  /** Whether an agent of this host answers. */
  get hasAgent(): Promise<boolean> {
    return this.agent.then((words) => words !== undefined, () => false);
  }

  /** The folder of the runtime's network configurations, and those that are in it. */
  get conflists(): Promise<FoundConflists> {
    return this.#once("conflists", () => readConflists(this.files, this.options));
  }

  /** The bridge that pods are on; `undefined` where they are on none. */
  get podsBridge(): Promise<string | undefined> {
    return this.#once("bridge", async () => bridgeOf(await this.conflists));
  }

  /** A file of proc(5) or sysfs, trimmed and at most 4 KiB; `undefined` if there is none, or it is not to be seen. */
  kernelFile(path: string): string | undefined {
    try {
      return this.libc.readSysctl(path);
    } catch (error) {
      if (isErrno(error, ENOENT) || isErrno(error, EACCES)) return undefined;
      throw error;
    }
  }

  /** The same of a long file, whole. */
  longKernelFile(path: string): string | undefined {
    try {
      return readWhole(this.libc, path);
    } catch (error) {
      if (isErrno(error, ENOENT) || isErrno(error, EACCES)) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#stack[Symbol.dispose]();
  }

  #once<T>(name: string, make: () => T): T {
    if (!this.#known.has(name)) this.#known.set(name, make());
    return this.#known.get(name) as T;
  }

  async #readConfig(): Promise<ReadConfig> {
    const { options } = this;
    const { registry: { kind }, networkConfigPath } = options;
    if (kind !== "etcd") {
      const text = await readConfigAside(networkConfigPath, this.files.patient);
      return { config: parseConfig(text, networkConfigPath, options, SILENT), text };
    }
    const place = await this.registry;
    const text = await place.readNetworkConfig!({ signal: this.signal });
    return { config: parseConfig(text, `${place.name}/config`, options, SILENT), text };
  }

  /** What the agent used last, where the registry that keeps it is away. */
  async #rememberedConfig(): Promise<ReadConfig | undefined> {
    const { leaseCachePath, registry: { kind } } = this.options;
    if (leaseCachePath === undefined || kind !== "etcd") return undefined;
    const { name } = await this.registry;
    const { registry, networkConfig } = parseLeaseCache(
      await this.files.patient.read(leaseCachePath, MAX_CACHE_BYTES),
    );
    if (registry !== name || networkConfig === undefined) return undefined;
    const config = parseConfig(networkConfig, leaseCachePath, this.options, SILENT);
    return { config, text: networkConfig };
  }

  async #openRegistry(): Promise<RegistryPlace> {
    const { registry } = this.options;
    // To open a file is to make it.
    if (registry.kind === "local" && !isFile(registry.path)) {
      throw new UnseenError(`${registry.path} is not there yet`);
    }
    const place = await registryPlace(registry, {
      log: SILENT,
      environment: this.environment,
      watchFiles: () => undefined,
      readCredential: this.files.readCredential,
      // It is tried again by who follows it.
      openAttempts: 1,
    });
    return this.#stack.use(place);
  }
}
