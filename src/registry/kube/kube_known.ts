import { createHash } from "node:crypto";
import type { Lease, LeaseUpdate } from "../../model/lease.ts";
import { FaultSample } from "../fault_sample.ts";
import type { LeaseFault } from "../remote_leases.ts";
import { Revisions } from "../revisions.ts";
import { type AnnotationKeys, contentOf, isManaged, type KubeNode, readNode } from "./kube_node.ts";
import { versionNumber } from "./kube_version.ts";

/** What a node says is compared as it is up to this length, and longer ones by what stands for them. */
const MAX_CONTENT_LENGTH = 1024;

/** A node, and the version that is known of it. */
export interface Witness {
  readonly name: string;
  readonly version: string;
}

/** What one node says anew. */
export type NodeUpdate = Exclude<LeaseUpdate, { readonly kind: "snapshot" }>;

/** What nodes have said last, as far as leases depend on it: most of what a watch tells is of no interest, and ends here. */
export class KnownNodes {
  readonly #keys: AnnotationKeys;
  readonly #revisions = new Revisions();
  readonly #faults = new FaultSample();
  /** What subnets nodes were given, by name: of the node that has this UID. */
  readonly #specs = new Map<string, { readonly uid: string; readonly spec: KubeNode["spec"] }>();
  readonly #contents = new Map<string, string>();
  /** Counts up where the server's versions are no numbers. */
  #arrivals = 0;
  #newest = 0;

  constructor(keys: AnnotationKeys) {
    this.#keys = keys;
  }

  get count(): number {
    return this.#contents.size;
  }

  /** The newest version that a node has; `undefined` where none can be compared. A server that has it all is no older. */
  get floor(): string | undefined {
    return this.#newest === 0 ? undefined : String(this.#newest);
  }

  /** The node that has changed last: what the server says of it tells whether it is still of one mind with what is known. */
  get witness(): Witness | undefined {
    const latest = this.#newest === 0 ? undefined : this.#revisions.latest;
    return latest && { name: latest.name, version: String(latest.revision) };
  }

  /** The version of a node that is there; `undefined` where it is not, or can't be compared. */
  versionOf(name: string): number | undefined {
    return this.#newest === 0 ? undefined : this.#revisions.of(name);
  }

  /** Nodes that claim to be members and can't be read, and why; the same array while nothing changes. */
  get faults(): readonly LeaseFault[] {
    return this.#faults.all;
  }

  setFault(name: string, reason: string | undefined): void {
    this.#faults.set(name, name, reason);
  }

  /** Makes earlier states of the node old news. */
  ignoreBefore({ metadata: { name, resourceVersion } }: KubeNode): void {
    this.#revisions.ignoreBefore(name, this.#revisionOf(resourceVersion));
  }

  /** The subnets of the node that has this UID, if they are known. */
  specOf(name: string, uid: string): KubeNode["spec"] {
    const known = this.#specs.get(name);
    return known?.uid === uid ? known.spec : undefined;
  }

  isLater({ metadata: { name, resourceVersion } }: KubeNode): boolean {
    return this.#revisions.isLater(name, this.#revisionOf(resourceVersion));
  }

  /** What a whole node says; nothing if it is old news. */
  tell(node: KubeNode): NodeUpdate | undefined {
    const { name, resourceVersion } = node.metadata;
    if (!this.#revisions.isNews(name, this.#revisionOf(resourceVersion))) return undefined;
    const content = shortened(contentOf(node));
    if (this.#contents.get(name) === content) return undefined;
    this.#contents.set(name, content);
    this.#keepSpec(node);
    const reading = readNode(node, this.#keys);
    this.setFault(name, reading.kind === "fault" ? reading.reason : undefined);
    if (reading.kind === "lease") return { kind: "held", lease: reading.lease };
    return { kind: "released", host: name };
  }

  /** That a node is gone; nothing if that is old news. */
  tellDeletion({ metadata: { name, resourceVersion } }: KubeNode): NodeUpdate | undefined {
    if (!this.#revisions.isDeletion(name, this.#revisionOf(resourceVersion))) return undefined;
    return this.remove(name);
  }

  /** The node is not there. */
  remove(name: string): NodeUpdate {
    this.#specs.delete(name);
    this.#contents.delete(name);
    this.setFault(name, undefined);
    return { kind: "released", host: name };
  }

  /** What subnets a node has never changes once there are some. */
  #keepSpec({ metadata: { name, uid }, spec }: KubeNode): void {
    if (spec?.podCIDR || spec?.podCIDRs?.length) this.#specs.set(name, { uid, spec });
    else if (this.#specs.get(name)?.uid !== uid) this.#specs.delete(name);
  }

  #revisionOf(resourceVersion: string): number {
    const number = versionNumber(resourceVersion);
    if (number !== undefined && number > this.#newest) this.#newest = number;
    return number ?? ++this.#arrivals;
  }
}

/** A text that stands for another, and is no longer than some: thousands are kept. */
function shortened(text: string): string {
  return text.length <= MAX_CONTENT_LENGTH ? text : createHash("sha256").update(text).digest("base64");
}

/** All nodes as a list tells them, one by one. */
export class NodeListing {
  readonly known: KnownNodes;
  readonly leases: Lease[] = [];
  /** Nodes whose subnets the list does not tell and nobody knows, and their versions. */
  readonly newcomers = new Map<string, string>();
  own: KubeNode | undefined;
  readonly #before: KnownNodes;
  readonly #options: ListingOptions;

  /** @param before What is known already. */
  constructor(before: KnownNodes, options: ListingOptions) {
    this.known = new KnownNodes(options.keys);
    this.#before = before;
    this.#options = options;
  }

  add(node: KubeNode): void {
    const { name, uid, resourceVersion } = node.metadata;
    const { keys, isOwn } = this.#options;
    const spec = node.spec ?? this.#before.specOf(name, uid);
    if (spec === undefined && (isManaged(node, keys) || isOwn(name))) {
      return void this.newcomers.set(name, resourceVersion);
    }
    const whole = { ...node, spec };
    const update = this.known.tell(whole);
    if (update?.kind === "held") this.leases.push(update.lease);
    if (isOwn(name)) this.own = whole;
  }
}

/** What tells which nodes of a list are of interest. */
export interface ListingOptions {
  readonly keys: AnnotationKeys;
  readonly isOwn: (name: string) => boolean;
}
