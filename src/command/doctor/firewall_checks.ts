import { incomingDropped } from "../../firewall/incoming.ts";
import { dormantWarnings, forwardWarnings, plansOf } from "../../firewall/plan.ts";
import { observeRules } from "../../firewall/rule_set.ts";
import { IP_NAME, type RuleWishes } from "../../firewall/rules.ts";
import { legacyTablesWithRules } from "../../linux/legacy_tables.ts";
import { AF_INET, AF_INET6, familyOf } from "../../model/address.ts";
import { dumpDroppedKeys, linkMapOf, nameOf } from "../../nftables/verdict_map.ts";
import { dumpRawRules } from "../../nftables/raw_rule.ts";
import { HOOK, type NftChain } from "../../nftables/objects.ts";
import { vtepNames } from "../../overlay/backend/vxlan.ts";
import { bookKey, readRuleBook } from "../../nftables/rule_book.ts";
import { readSubnetEnv } from "../../pods/subnet_env.ts";
import { type Check, check } from "./check.ts";
import { doubtful, ok, type Said, unseen, wrong } from "./finding.ts";
import { chainsInTheWay, type Played, playForward, type Refused } from "./forward_play.ts";
import type { DoctorPlace } from "./place.ts";

const INET = 1;
/** Those of iptables, by whatever program. */
const IPTABLES_TABLES: ReadonlySet<string> = new Set(["filter", "nat", "mangle", "raw", "security"]);

/** What the packet filter does with packets of pods and of the overlay. */
export const FIREWALL_CHECKS: readonly Check[] = [
  check("input", readInput, judgeInput),
  check("forward", readForward, judgeForward),
  check("firewall-managers", readManagers, judgeManagers),
  check("iptables-variants", (place) => ({
    legacy: ([AF_INET, AF_INET6] as const).flatMap((family) => legacyTablesWithRules(place.libc, family)),
    nft: place.awakeChains.filter(isIptables).map(({ table }) => table),
  }), judgeVariants),
];

function isIptables({ family, table, chain, base }: NftChain): boolean {
  return family !== INET && IPTABLES_TABLES.has(table) && (base !== undefined || /^[A-Z]/.test(chain)) &&
    (base === undefined || /^[A-Z]+$/.test(chain));
}

/** What drops all that other hosts send to the VTEPs: one sentence each. */
export interface FoundInput {
  readonly port: number;
  readonly dropped: readonly string[];
}

async function readInput(place: DoctorPlace): Promise<FoundInput | undefined> {
  const { config: { backend } } = await place.config;
  if (!("vni" in backend)) return undefined;
  const { linkName, addresses } = await place.underlay;
  const { port } = backend;
  const incoming = { port, inputLink: linkName, addresses: addresses.map(({ address }) => address) };
  return { port, dropped: incomingDropped(incoming, observeRules(place.nft)) };
}

export function judgeInput(found: FoundInput | undefined): readonly Said[] {
  if (found === undefined) return [ok("the backend has no port of its own")];
  const { port, dropped } = found;
  if (dropped.length === 0) return [ok(`nothing is known to drop UDP port ${port}`)];
  return dropped.map((sentence) => {
    const [text, remedy] = sentence.split(/: (?=have it accept)/);
    return doubtful(text!, remedy ?? `accept UDP port ${port} from the other hosts there`);
  });
}

/** What is to be said of forwarded packets, and what the agent would change. */
export interface FoundForward {
  readonly warnings: readonly string[];
  /** Rules that refuse all packets of pods, beside those that are warned of. */
  readonly refused?: readonly Refused[];
  /** What is not as the agent makes it. */
  readonly actions: readonly string[];
  readonly hasAgent: boolean;
  /** Whether each chain of forwarded packets accepts all of pods, as far as rules tell. */
  readonly isAccepted?: boolean;
}

async function readForward(place: DoctorPlace): Promise<FoundForward | "unused" | "no subnet"> {
  const { options } = place;
  if (!options.forwardRules && !options.masquerade) return "unused";
  const { config: { families, masqueradeExclude } } = await place.config;
  const text = await place.files.named(options.subnetFilePath);
  const subnets = text === undefined ? [] : readSubnetEnv(text, options.subnetFilePath).subnets;
  const parts = families.flatMap(({ network }) => {
    const subnet = subnets.find(({ address }) => familyOf(address) === familyOf(network.address));
    return subnet === undefined ? [] : [{ network, subnet }];
  });
  if (parts.length === 0) return "no subnet";
  const wishes: RuleWishes = {
    families: parts,
    isMasquerading: options.masquerade,
    isFullyRandom: options.isFullyRandom,
    isForwarding: options.forwardRules,
    excluded: masqueradeExclude,
  };
  const set = observeRules(place.nft);
  const { played, inTheWay } = await playedAt(place, parts);
  // A chain that drops what it does not accept may accept the packets of pods.
  const awake = set.awake.filter((chain) => inTheWay.has(bookKey(chain)));
  const warnings = played.fate === "through"
    ? dormantWarnings(wishes, set)
    : [...forwardWarnings(wishes, { ...set, awake }), ...await mapWarnings(place)];
  return {
    warnings,
    ...played.fate === "refused" && warnings.length === 0 && { refused: played.texts },
    actions: plansOf(wishes, set).flatMap(({ actions }) => actions),
    hasAgent: await place.hasAgent,
    isAccepted: inTheWay.size === 0 && played.fate !== "refused" && warnings.length === 0,
  };
}

/** Plays packets of pods through all rules of this host, and through each chain by itself. */
async function playedAt(
  place: DoctorPlace,
  families: Parameters<typeof playForward>[1]["families"],
): Promise<{ readonly played: Played; readonly inTheWay: ReadonlySet<string> }> {
  const { config: { backend } } = await place.config;
  const { linkName } = await place.underlay;
  const scene = {
    families,
    links: place.links,
    bridge: await place.podsBridge ?? "cni0",
    vni: "vni" in backend ? backend.vni : undefined,
    underlay: linkName,
  };
  const book = readRuleBook(place.nft);
  return { played: playForward(book, scene), inTheWay: chainsInTheWay(book, scene) };
}

/** Maps by which a chain of forwarded packets drops those of the pods' bridge, or of the VTEPs: one sentence each. */
async function mapWarnings(place: DoctorPlace): Promise<string[]> {
  const { config: { backend } } = await place.config;
  const names = [await place.podsBridge, ..."vni" in backend ? vtepNames(backend.vni) : []];
  const forward = place.chains.filter(({ base }) => base?.hook === HOOK.forward);
  return dumpRawRules(place.nft).flatMap((rule) => {
    const { family, table, chain } = rule;
    if (!forward.some((one) => one.family === family && one.table === table && one.chain === chain)) {
      return [];
    }
    const set = linkMapOf(rule);
    const dropped = set === undefined ? [] : dumpDroppedKeys(place.nft, { family, table, set }).map(nameOf);
    return names.filter((name) => name !== undefined && dropped.includes(name)).map((name) =>
      `chain ${chain} of table ${IP_NAME[family]} ${table} drops by a map what is forwarded over ${name}`
    );
  });
}

export function judgeForward(found: FoundForward | "unused" | "no subnet"): readonly Said[] {
  if (found === "unused") return [ok("no rules are asked for")];
  if (found === "no subnet") return [unseen("this host has no subnet yet")];
  const { warnings, refused = [], actions, hasAgent } = found;
  const said: Said[] = warnings.map((warning) =>
    doubtful(
      warning,
      "accept the cluster network there, or add the overlay's links to a zone that is trusted",
    )
  );
  if (actions.length > 0) {
    said.push(doubtful(
      `the rules for pods are not as they must be: ${actions.slice(0, 3).join(", ")}`,
      hasAgent ? "see what undoes them: 'loden status' names it" : "start the agent, which makes them",
    ));
  }
  // What the agent is about to put right may be what refuses them.
  if (actions.length === 0) said.push(...refused.map(({ text, remedy }) => wrong(text, remedy)));
  return said.length > 0 ? said : [ok("pods' packets are forwarded, as far as rules tell")];
}

/** Programs that write the rules of a host. */
export interface FoundManagers {
  readonly firewalld: boolean;
  readonly ufw: boolean;
  /** Whether firewalld has one of these networks, or links, in a zone that is trusted. */
  readonly isTrusted: boolean;
  /** Whether rules were seen. */
  readonly hasSeenRules: boolean;
  /** Whether their rules are there, and packets of pods and of the overlay get through them, as far as is known. */
  readonly isPassing?: boolean;
}

const TRUSTED_ZONE = "/etc/firewalld/zones/trusted.xml";

async function readManagers(place: DoctorPlace): Promise<FoundManagers> {
  const tables = new Set(place.isRoot ? place.awakeChains.map(({ table }) => table) : []);
  const programs = place.system.processes(new Set(["firewalld"]));
  const ufw = await place.files.file("/etc/ufw/ufw.conf") ?? "";
  const hasUfwChains = place.isRoot && place.awakeChains.some(({ chain }) => chain.startsWith("ufw-"));
  const zone = await place.files.file(TRUSTED_ZONE) ?? "";
  // What another check can't read is its to say.
  const isPassing = (tables.has("firewalld") || hasUfwChains) && await isAllPassing(place).catch(() => false);
  return {
    firewalld: tables.has("firewalld") || programs.some(({ isHere }) => isHere ?? true),
    ufw: hasUfwChains || /^ENABLED=yes/m.test(ufw),
    isTrusted: /<(source|interface)\s/.test(zone),
    hasSeenRules: place.isRoot,
    isPassing,
  };
}

async function isAllPassing(place: DoctorPlace): Promise<boolean> {
  const forward = await readForward(place);
  const input = await readInput(place);
  return typeof forward === "object" && forward.isAccepted === true && (input?.dropped ?? []).length === 0;
}

export function judgeManagers(found: FoundManagers): readonly Said[] {
  const { firewalld, ufw, isTrusted, hasSeenRules, isPassing = false } = found;
  const said: Said[] = [];
  if (isPassing) {
    const names = [...firewalld ? ["firewalld"] : [], ...ufw ? ["ufw"] : []].join(" and ");
    return [
      ok(`${names} is active, and lets packets of pods and of the overlay through, as far as rules tell`),
    ];
  }
  if (firewalld && !isTrusted) {
    said.push(doubtful(
      "firewalld is active and trusts no link or network: packets of pods, or of the overlay, may be dropped",
      "run `firewall-cmd --permanent --zone=trusted --add-source=NETWORK`, " +
        "`firewall-cmd --permanent --add-port=8472/udp` and `firewall-cmd --reload`",
    ));
  }
  if (ufw) {
    said.push(doubtful(
      "ufw is active, which drops what is forwarded unless it is told otherwise",
      "run `ufw allow 8472/udp` and `ufw route allow in on cni0`, and the same for flannel.1",
    ));
  }
  if (said.length > 0) return said;
  if (!hasSeenRules) return [unseen("only root sees rules; no program for firewalls is seen")];
  return [
    ok(
      firewalld ? "firewalld is active, and trusts a link or network" : "no program for firewalls is active",
    ),
  ];
}

export function judgeVariants(
  { legacy, nft }: { readonly legacy: readonly string[]; readonly nft: readonly string[] },
): Said {
  const list = (names: readonly string[]) => [...new Set(names)].sort().join(", ");
  if (legacy.length > 0 && nft.length > 0) {
    return doubtful(
      `legacy iptables has the tables ${list(legacy)}, and iptables-nft has ${
        list(nft)
      }: each of the two filters what ` +
        "the other has accepted",
      "have all programs use one of them (update-alternatives --config iptables), and empty the other",
    );
  }
  return ok(legacy.length > 0 ? "rules are in legacy iptables alone" : "rules are in nftables alone");
}
