import {
  array,
  catch as fallback,
  type infer as Infer,
  nullish,
  object,
  optional,
  record,
  string,
  unknown,
} from "zod/mini";
import { parseAnyAddress, parseAnyPrefix, parseIpv4Text, parseIpv6Text } from "../../config/address_text.ts";
import { type Address, AF_INET, type Family, familyOf, type Prefix } from "../../model/address.ts";
import { agesOf } from "./kube_since.ts";
import type { Lease, LeasePart, Origin } from "../../model/lease.ts";
import type { Kept } from "../http/json_sieve.ts";
import { formatOrigin, originSchema } from "../origin_text.ts";

/** The annotations of flannel, without their prefix. */
const SUFFIXES = {
  managed: "kube-subnet-manager",
  backendType: "backend-type",
  data: { 2: "backend-data", 10: "backend-v6-data" },
  address: { 2: "public-ip", 10: "public-ipv6" },
  overwrite: { 2: "public-ip-overwrite", 10: "public-ipv6-overwrite" },
  nodeAddress: { 2: "node-public-ip", 10: "node-public-ipv6" },
  // Loden's own: flanneld does not look at it.
  origin: "loden-origin",
  since: "loden-since",
} as const;
/** What another host writes is read up to this length: there may be thousands, and one is some hundred bytes. */
export const MAX_VALUE_BYTES = 4096;
/** A longer word is no backend type. */
const MAX_BACKEND_TYPE_LENGTH = 64;
/** What a node says is shown in messages up to this length. */
const MAX_SHOWN_LENGTH = 80;

/** The annotations of flannel under one prefix. */
export interface AnnotationKeys {
  readonly managed: string;
  readonly backendType: string;
  readonly data: Readonly<Record<Family, string>>;
  readonly address: Readonly<Record<Family, string>>;
  readonly overwrite: Readonly<Record<Family, string>>;
  readonly nodeAddress: Readonly<Record<Family, string>>;
  readonly origin: string;
  readonly since: string;
}

/** @param prefix Complete, with `/` or `-` at its end. */
export function annotationKeys(prefix: string): AnnotationKeys {
  const both = (suffixes: Readonly<Record<Family, string>>) => ({
    2: prefix + suffixes[2],
    10: prefix + suffixes[10],
  });
  return {
    managed: prefix + SUFFIXES.managed,
    backendType: prefix + SUFFIXES.backendType,
    data: both(SUFFIXES.data),
    address: both(SUFFIXES.address),
    overwrite: both(SUFFIXES.overwrite),
    nodeAddress: both(SUFFIXES.nodeAddress),
    origin: prefix + SUFFIXES.origin,
    since: prefix + SUFFIXES.since,
  };
}

/** What is of interest of a Node: some hundred of its 15,000 bytes. */
export function keptOfNode(keys: AnnotationKeys): { readonly [key: string]: Kept } {
  const { managed, backendType, data, address, overwrite, nodeAddress, origin, since } = keys;
  const names = [
    managed,
    backendType,
    origin,
    since,
    ...[data, address, overwrite, nodeAddress].flatMap((key) => Object.values(key)),
  ];
  return {
    metadata: {
      name: true,
      uid: true,
      resourceVersion: true,
      creationTimestamp: true,
      annotations: Object.fromEntries(names.map((name) => [name, true])),
    },
    spec: { podCIDR: true, podCIDRs: true },
  };
}

/** The same of the own node, and the addresses that the cluster knows it by. */
export function keptOfOwnNode(keys: AnnotationKeys): { readonly [key: string]: Kept } {
  return { ...keptOfNode(keys), status: { addresses: true } };
}

/** A Node as the sieve leaves it. What another host writes into it is `unknown`. */
export const nodeSchema = object({
  metadata: object({
    name: string(),
    uid: fallback(string(), ""),
    resourceVersion: fallback(string(), ""),
    creationTimestamp: fallback(string(), ""),
    annotations: fallback(nullish(record(string(), unknown())), undefined),
  }),
  spec: optional(object({
    podCIDR: fallback(optional(string()), undefined),
    podCIDRs: fallback(nullish(array(string())), undefined),
  })),
  status: fallback(
    optional(object({ addresses: nullish(array(object({ type: string(), address: string() }))) })),
    undefined,
  ),
});

export type KubeNode = Infer<typeof nodeSchema>;

/** A Node as a member of the overlay: its lease, or why it has none; neither if no agent manages it. */
export type NodeReading =
  | { readonly kind: "unmanaged" }
  | { readonly kind: "lease"; readonly lease: Lease }
  | { readonly kind: "fault"; readonly reason: string };

/** What a message shows of the words of a node. */
export function shown(value: unknown): string {
  if (typeof value === "number") return `${value} bytes long, and at most ${MAX_VALUE_BYTES} are read`;
  const text = JSON.stringify(value) ?? "missing";
  return text.length > MAX_SHOWN_LENGTH ? `${text.slice(0, MAX_SHOWN_LENGTH)}…` : text;
}

/** The annotation `key`; `undefined` where there is none. */
export function annotationOf(node: KubeNode, key: string): unknown {
  const { annotations } = node.metadata;
  return annotations && Object.hasOwn(annotations, key) ? annotations[key] : undefined;
}

/**
 * The subnets that the cluster gave a node, one a family; the last one of a family counts, as with flannel.
 *
 * @throws {SyntaxError} If one is no prefix, or there are more than two.
 */
export function podSubnets({ spec }: KubeNode): Partial<Record<Family, Prefix>> {
  const texts = spec?.podCIDRs?.length ? spec.podCIDRs : spec?.podCIDR ? [spec.podCIDR] : [];
  if (texts.length > 2) {
    throw new SyntaxError(`spec.podCIDRs has ${texts.length} entries, and at most 2 make sense`);
  }
  const subnets: Partial<Record<Family, Prefix>> = {};
  for (const text of texts) {
    try {
      const prefix = parseAnyPrefix(text);
      subnets[familyOf(prefix.address)] = prefix;
    } catch {
      throw new SyntaxError(`spec.podCIDR ${shown(text)} is not a prefix`);
    }
  }
  return subnets;
}

/** The same as a list; none where they can't be read. */
export function givenSubnets(node: KubeNode | undefined): readonly Prefix[] {
  try {
    return node === undefined ? [] : Object.values(podSubnets(node));
  } catch {
    return [];
  }
}

/** Parses an annotation that is an address of `family`; `undefined` where it is absent or empty. */
export function addressIn(node: KubeNode, key: string, family: Family): Address | undefined {
  const value = annotationOf(node, key);
  if (value === undefined || value === "") return undefined;
  const what = family === AF_INET ? "an IPv4 address" : "an IPv6 address";
  try {
    if (typeof value === "string") return family === AF_INET ? parseIpv4Text(value) : parseIpv6Text(value);
  } catch {
    // Told below.
  }
  throw new SyntaxError(`annotation ${key} must be ${what}, is ${shown(value)}`);
}

/** What the host of a node says of itself; `undefined` where it says nothing. */
export function originOf(node: KubeNode, keys: AnnotationKeys): Origin | undefined {
  const value = annotationOf(node, keys.origin);
  try {
    return typeof value === "string" ? originSchema.parse(JSON.parse(value)) : undefined;
  } catch {
    return undefined;
  }
}

/** The annotation that `originOf()` reads; nothing where there is nothing to say. */
export function originAnnotation(origin: Origin, keys: AnnotationKeys): Readonly<Record<string, string>> {
  const said = formatOrigin(origin);
  return said === undefined ? {} : { [keys.origin]: JSON.stringify(said) };
}

/** The addresses of the type InternalIP, which kubelet and the API server know a node by. */
export function internalAddresses({ status }: KubeNode): readonly Address[] {
  return (status?.addresses ?? []).filter(({ type }) => type === "InternalIP").flatMap(({ address }) => {
    try {
      return [parseAnyAddress(address)];
    } catch {
      return [];
    }
  });
}

const readySchema = object({
  status: optional(object({
    conditions: fallback(array(object({ type: string(), status: string() })), []),
  })),
});

/** What of a node tells whether its kubelet is alive. */
export const KEPT_OF_CONDITIONS: Kept = { status: { conditions: true } };

/** Whether a node's kubelet says nothing any more, as the cluster sees it: some 40 s after it has fallen silent. */
export function isUnheard(node: unknown): boolean {
  const conditions = readySchema.safeParse(node).data?.status?.conditions ?? [];
  return conditions.some(({ type, status }) => type === "Ready" && status === "Unknown");
}

/** What of a node a lease depends on, as text: whether two states of a node are the same to us. */
export function contentOf({ metadata: { uid, annotations }, spec }: KubeNode): string {
  const sorted = Object.entries(annotations ?? {}).sort(([a], [b]) => a < b ? -1 : 1);
  return JSON.stringify([uid, sorted, spec?.podCIDR, spec?.podCIDRs]);
}

/** Whether the node is a member's, or wants to be. */
export function isManaged(node: KubeNode, keys: AnnotationKeys): boolean {
  return annotationOf(node, keys.managed) === "true";
}

/** Reads the lease that a node publishes. What is wrong with it concerns this node alone. */
export function readNode(node: KubeNode, keys: AnnotationKeys): NodeReading {
  if (!isManaged(node, keys)) return { kind: "unmanaged" };
  try {
    const backendType = annotationOf(node, keys.backendType) ?? "";
    if (typeof backendType !== "string" || backendType.length > MAX_BACKEND_TYPE_LENGTH) {
      throw new SyntaxError(`annotation ${keys.backendType} is no backend type: ${shown(backendType)}`);
    }
    const subnets = podSubnets(node);
    const parts = ([2, 10] as const).flatMap((family): LeasePart[] => {
      const underlayAddress = addressIn(node, keys.address[family], family);
      const subnet = subnets[family];
      if (underlayAddress === undefined || subnet === undefined) return [];
      return [{ subnet, underlayAddress, backendData: dataIn(node, keys.data[family]) }];
    });
    if (parts.length > 0) {
      const origin = originOf(node, keys);
      const ages = agesOf(node.metadata.creationTimestamp, annotationOf(node, keys.since));
      const who = { ...origin !== undefined && { origin }, ...ages };
      return { kind: "lease", lease: { host: node.metadata.name, backendType, parts, ...who } };
    }
    const lacksSubnet = subnets[2] === undefined && subnets[10] === undefined;
    const reason = lacksSubnet
      ? "its node has no podCIDR yet"
      : `its node has no annotation ${keys.address[2]} that fits its podCIDR`;
    return { kind: "fault", reason };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { kind: "fault", reason: error.message };
  }
}

/** The backend data in an annotation; `null` where it is absent or empty. */
function dataIn(node: KubeNode, key: string): unknown {
  const value = annotationOf(node, key);
  if (value === undefined || value === "") return null;
  try {
    if (typeof value === "string") return JSON.parse(value);
  } catch {
    // Told below.
  }
  throw new SyntaxError(`annotation ${key} must be JSON, is ${shown(value)}`);
}
