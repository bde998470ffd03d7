import { type Address, formatAddress, type Ipv4, type Ipv6, type Prefix } from "../model/address.ts";
import { parseAnyAddress, parseExactPrefix, parseIpv4Text, parseIpv6Text } from "./address_text.ts";
import { type BackendOverride, backendOverrides } from "./backend_overrides.ts";
import { type Flag, FLAG_GROUPS, type FlagValue, variableOf } from "./flag.ts";
import { type FlagName, FLAGS } from "./flags.ts";
import { type Environment, type FlagReading, type FlagSource, readFlags } from "./parse_flags.ts";
import { exactHint, MAX_MASQUERADE_EXCLUDES } from "./network_schema.ts";
import { besideSubnetFile } from "./beside_subnet_file.ts";
import { registryOf, type RegistryOptions, registryWarnings } from "./registry_flags.ts";
import { UsageError } from "./usage_error.ts";

/** What the command line and the environment ask of the agent. */
export interface Options {
  /** Names and addresses of links, tried in order. */
  readonly iface: readonly string[];
  readonly ifaceRegex: readonly string[];
  readonly ifaceCanReach?: Address;
  readonly publicIp?: Ipv4;
  readonly publicIpv6?: Ipv6;
  /** What flags and variables say about `Backend`, weakest first. */
  readonly backendOverrides: readonly BackendOverride[];
  /** Whether what pods send to the outside is masqueraded, and the subnet file says so. */
  readonly masquerade: boolean;
  /** Whether masqueraded packets get random source ports. */
  readonly isFullyRandom: boolean;
  /** What stands in for `MasqueradeExclude` of net-conf.json; absent where that counts. */
  readonly masqueradeExclude?: readonly Prefix[];
  /** Whether forwarded packets of pods are accepted. */
  readonly forwardRules: boolean;
  /** Between looks at the rules when nothing happens. */
  readonly rulesResyncMs: number;
  readonly hasBlackholeRoute: boolean;
  /** Whether others' routes to hosts' subnets give way to ours. */
  readonly takesForeignRoutes: boolean;
  readonly vxlanTxChecksum: "auto" | "on" | "off";
  /** Whether files keep other network managers away from the overlay's links. */
  readonly writesUnmanagedFiles: boolean;
  readonly networkConfigPath: string;
  readonly subnetFilePath: string;
  /** The runtime's conflist, and what it is made of; absent where none is written. */
  readonly conflist?: {
    readonly path: string;
    readonly sourcePath: string;
    /** Whether a source that is not there is no fault, as nobody has named it. */
    readonly isSourceOptional: boolean;
    /** Whether the plugin `flannel` in it is resolved, or left as it is. */
    readonly isRendered: boolean;
  };
  /** Whether what vanished pods hold is released, or only told. */
  readonly isReleasingStale: boolean;
  /** Where the CNI plugin is put back; absent where it is not. */
  readonly pluginFolder?: string;
  readonly registry: RegistryOptions;
  /** Where what was known last is kept; absent where it is not. */
  readonly leaseCachePath?: string;
  /** Where the machine's id is; absent where none is to be read. */
  readonly machineIdPath?: string;
  readonly leaseRenewMarginMs: number;
  readonly resyncMs: number;
  /** Who is asked whether packets get there and back, at which UDP port this host answers, probes a second. */
  readonly pathProbes: {
    /** Whether routes to hosts behind narrow paths get the MTU that was found. */
    readonly lowersMtu: boolean;
    readonly mode: "auto" | "on" | "off";
    readonly port: number;
    readonly budget: number;
  };
  /** Where `/healthz` is served; absent where it is not. */
  readonly health?: {
    readonly hostname: string;
    readonly port: number;
    readonly names: readonly string[];
    readonly podName?: string;
  };
  /** Where log lines go; standard error where absent. */
  readonly logFilePath?: string;
  readonly logFormat: "auto" | "json" | "text";
  readonly logLevel: "info" | "debug";
}

/** Rules are looked at this often at least. */
const MAX_RULES_RESYNC_S = 3600;

/** What a command line asks for. */
export type OptionsOutcome =
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | {
    readonly kind: "run";
    readonly options: Options;
    /** Each one line for the log. */
    readonly warnings: readonly string[];
    /** The flags that were given, by name, and where the value in use comes from. */
    readonly given: ReadonlyMap<string, FlagSource>;
  };

/**
 * Reads the agent's options: a flag is stronger than its `FLANNELD_*` variable, and that than the default.
 *
 * @throws {UsageError} If a person must change the command line or the environment.
 */
export function parseOptions(argv: readonly string[], environment: Environment): OptionsOutcome {
  const outcome = readFlags(argv, environment, FLAGS);
  if (outcome.kind !== "values") return outcome;
  const { reading } = outcome;
  const warnings = [
    ...reading.warnings,
    ...laterWarnings(reading),
    ...rulesResyncWarnings(reading),
    ...conflistWarnings(reading),
    ...registryWarnings(reading),
  ];
  return { kind: "run", options: optionsOf(reading, environment), warnings, given: reading.given };
}

/** A flag's or a variable's name, as a person would look for it: `-mtu`, `FLANNELD_MTU`. */
function whereGiven(name: string, { given }: FlagReading): string {
  return given.get(name) === "environment" ? variableOf(name) : `-${name}`;
}

function optionsOf(reading: FlagReading, { NODE_NAME: nodeName, POD_NAME: podName }: Environment): Options {
  const text = (name: FlagName<"string">) => reading.values.get(name) as string;
  const integer = (name: FlagName<"integer">) => reading.values.get(name) as number;
  const truth = (name: FlagName<"boolean">) => reading.values.get(name) as boolean;
  const list = (name: FlagName<"list">) => reading.values.get(name) as readonly string[];
  const port = integer("healthz-port");
  const ifaceCanReach = addressOf("iface-can-reach", parseAnyAddress, "an address", reading);
  const publicIp = addressOf("public-ip", parseIpv4Text, "an IPv4 address", reading);
  const masqueradeExclude = excludesOf(reading);
  const publicIpv6 = addressOf("public-ipv6", parseIpv6Text, "an IPv6 address", reading);
  return {
    iface: list("iface"),
    ifaceRegex: list("iface-regex"),
    ...ifaceCanReach !== undefined && { ifaceCanReach },
    ...publicIp !== undefined && { publicIp },
    ...publicIpv6 !== undefined && { publicIpv6 },
    backendOverrides: backendOverrides(reading),
    masquerade: truth("ip-masq"),
    isFullyRandom: !truth("ip-masq-fully-random-disable"),
    ...masqueradeExclude !== undefined && { masqueradeExclude },
    forwardRules: truth("iptables-forward-rules"),
    rulesResyncMs: rulesResyncOf(integer("iptables-resync")) * 1000,
    hasBlackholeRoute: truth("ip-blackhole-route"),
    takesForeignRoutes: truth("take-foreign-routes"),
    vxlanTxChecksum: text("vxlan-tx-checksum") as Options["vxlanTxChecksum"],
    writesUnmanagedFiles: truth("unmanaged-files"),
    networkConfigPath: text("net-config-path"),
    subnetFilePath: text("subnet-file"),
    ...text("cni-conf") !== "" && {
      conflist: {
        path: text("cni-conf"),
        sourcePath: text("cni-conf-from"),
        isSourceOptional: !reading.given.has("cni-conf-from"),
        isRendered: truth("cni-conf-render"),
      },
    },
    ...text("cni-bin-dir") !== "" && { pluginFolder: text("cni-bin-dir") },
    isReleasingStale: truth("cni-release-stale"),
    registry: registryOf(reading),
    ...text("lease-cache") !== "" && {
      leaseCachePath: reading.given.has("lease-cache")
        ? text("lease-cache")
        : besideSubnetFile(text("subnet-file"), "leases.json"),
    },
    ...text("machine-id-file") !== "" && { machineIdPath: text("machine-id-file") },
    leaseRenewMarginMs: integer("subnet-lease-renew-margin") * 60_000,
    resyncMs: integer("resync") * 1000,
    pathProbes: {
      lowersMtu: truth("path-mtu"),
      mode: text("path-probes") as Options["pathProbes"]["mode"],
      port: integer("path-probe-port"),
      budget: integer("path-probe-budget"),
    },
    ...port > 0 && {
      health: {
        hostname: text("healthz-ip") || "0.0.0.0",
        port,
        names: [...list("healthz-name"), ...nodeName ? [nodeName] : []],
        ...podName && { podName },
      },
    },
    ...text("log-file") !== "" && { logFilePath: text("log-file") },
    logFormat: text("log-format") as Options["logFormat"],
    logLevel: integer("v") >= 1 ? "debug" : "info",
  };
}

/** In seconds; flannel takes any number, and never rests where it is not positive. */
function rulesResyncOf(seconds: number): number {
  return Math.min(Math.max(seconds, 1), MAX_RULES_RESYNC_S);
}

function rulesResyncWarnings(reading: FlagReading): string[] {
  const seconds = reading.values.get("iptables-resync") as number;
  const used = rulesResyncOf(seconds);
  if (seconds === used) return [];
  const where = whereGiven("iptables-resync", reading);
  return [`${where} is ${seconds}, and ${used} is taken: rules are looked at when they change, too`];
}

/** A runtime that expects one plugin in a file finds no network in a list, and says so in its own log alone. */
function conflistWarnings(reading: FlagReading): string[] {
  const path = reading.values.get("cni-conf") as string;
  if (!/\.(conf|json)$/.test(path)) return [];
  const where = whereGiven("cni-conf", reading);
  return [`${where} must end in .conflist: in ${path} runtimes expect one plugin, and read no list`];
}

/** The address that `name` gives; absent where it is empty. */
function addressOf<A extends Address>(
  name: FlagName<"string">,
  parse: (text: string) => A,
  what: string,
  reading: FlagReading,
): A | undefined {
  const text = reading.values.get(name) as string;
  if (text === "") return undefined;
  try {
    return parse(text);
  } catch {
    const hint = otherFamilyHint(name, text);
    const where = whereGiven(name, reading);
    throw new UsageError(`Cannot read ${where}: must be ${what}, is ${JSON.stringify(text)}${hint}`);
  }
}

/** The prefixes that are not masqueraded; absent where no flag or variable names them. */
function excludesOf(reading: FlagReading): readonly Prefix[] | undefined {
  const values = reading.values.get("masquerade-exclude") as readonly string[] | undefined;
  const texts = values?.flatMap((value) => value.split(",")).map((text) => text.trim());
  const where = whereGiven("masquerade-exclude", reading);
  if (texts !== undefined && texts.length > MAX_MASQUERADE_EXCLUDES) {
    throw new UsageError(`Cannot read ${where}: must be at most ${MAX_MASQUERADE_EXCLUDES} prefixes`);
  }
  return texts?.filter((text) => text !== "").map((text) => {
    try {
      return parseExactPrefix(text);
    } catch {
      throw new UsageError(
        `Cannot read ${where}: must be a prefix as 192.0.2.0/24, is ${JSON.stringify(text)}${
          exactHint(text)
        }`,
      );
    }
  });
}

function otherFamilyHint(name: string, text: string): string {
  const [address, length] = text.split("/");
  if (length !== undefined) return `; the prefix length is too much: ${address}`;
  const other = name === "public-ip" ? "public-ipv6" : name === "public-ipv6" ? "public-ip" : undefined;
  if (other === undefined) return "";
  try {
    return `; write -${other}=${formatAddress(parseAnyAddress(text))}`;
  } catch {
    return "";
  }
}

/** One line for each flag that asks for something this version does not do. */
function laterWarnings(reading: FlagReading): string[] {
  const asked = (flag: Flag) => {
    const value = reading.values.get(flag.name);
    if (flag.kind === "boolean") return value === true;
    return value !== "" && value !== flag.default;
  };
  return (FLAGS as readonly Flag[])
    .filter((flag) => flag.later !== undefined && reading.given.has(flag.name) && asked(flag))
    .map((flag) => `${whereGiven(flag.name, reading)} ${flag.later}`);
}

/** Where the second column of the help text begins. */
const HELP_COLUMN = 38;

function helpLine(flag: Flag): string {
  const name = flag.kind === "boolean" ? `-${flag.name}` : `-${flag.name} ${flag.value ?? "VALUE"}`;
  return `  ${name.padEnd(HELP_COLUMN - 3)} ${flag.help}${defaultText(flag.default)}`;
}

function defaultText(value: FlagValue | undefined): string {
  if (value === undefined || value === "" || value === false || Array.isArray(value)) return "";
  return ` (${value})`;
}

/** The flag list that `-help` prints: a line a flag, in groups, with a default in parentheses. */
export function helpText(): string {
  const groups = FLAG_GROUPS.map((group) => {
    const flags = (FLAGS as readonly Flag[]).filter((flag) => flag.group === group);
    return [`${group}:`, ...flags.map(helpLine)].join("\n");
  });
  return [
    "Usage: loden [-FLAG[=VALUE]]...",
    ...groups,
    "-iface eth0, -iface=eth0 and --iface=eth0 are the same; a flag without a value needs `=` to be turned off:\n" +
    "-ip-masq=false. Each flag is also a variable, which the command line overrides: -healthz-port is\n" +
    "FLANNELD_HEALTHZ_PORT. 'loden help' lists what else there is beside the agent.",
  ].join("\n\n") + "\n";
}
