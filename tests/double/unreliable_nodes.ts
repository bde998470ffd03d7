import { pick } from "./random.ts";

const PREFIX = "flannel.alpha.coreos.com/";

/** A Node of this cluster, as far as leases go. */
export interface UnreliableNode {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly spec: { readonly podCIDR?: string };
}

/** The node that joins last. */
export const LAST_NODE = "last";

interface Event {
  readonly revision: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: UnreliableNode;
}

/**
 * An API server whose watches lose events, repeat them, turn them round and tell old ones. Only after it has lost one
 * does it say that the watcher must list anew; lists, and nodes that are asked for, are always right.
 */
export class UnreliableNodes implements AsyncDisposable {
  readonly #random: () => number;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #nodes = new Map<string, UnreliableNode>();
  readonly #events: Event[] = [];
  #revision = 1;
  /** Watches from before this one are told to list anew. */
  #horizon = 0;
  #wake = Promise.withResolvers<void>();
  #isHonest = false;
  readonly #losesEvents: boolean;
  #isClosed = false;

  /** @param options.losesEvents Whether some are lost; else they only come twice, late and turned round. */
  constructor(random: () => number, options: { readonly losesEvents: boolean }) {
    this.#random = random;
    this.#losesEvents = options.losesEvents;
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#answer(new URL(request.url), request.headers.get("accept") ?? ""),
    );
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  get nodes(): readonly UnreliableNode[] {
    return [...this.#nodes.values()];
  }

  /** Changes something at random: nodes join, leave, come back as others, and say other things of themselves. */
  change(): void {
    const number = 2 + Math.floor(this.#random() * 6);
    const name = `n${number}`;
    const before = this.#nodes.get(name);
    if (before !== undefined && this.#random() < 0.3) {
      this.#nodes.delete(name);
      this.#add("DELETED", before);
      // Deleted and made again: some watchers see only that it is another.
      if (this.#random() < 0.5) return;
    }
    const subnet = pick(this.#random, [number, number, number + 100]);
    const mac = pick(this.#random, ["01", "02", "03"]);
    const isMember = this.#random() < 0.85;
    const node = {
      metadata: {
        name,
        uid: this.#nodes.has(name) ? before!.metadata.uid : `u${this.#revision}`,
        annotations: isMember
          ? {
            ...annotationsOf(number, pick(this.#random, [number, number + 20]), mac),
            ...this.#random() < 0.1 && { [`${PREFIX}backend-data`]: "{" },
          }
          : {},
      },
      // Given once, and never changed, as the API server sees to it.
      spec: this.#nodes.get(name)?.spec.podCIDR !== undefined
        ? this.#nodes.get(name)!.spec
        : this.#random() < 0.1
        ? {}
        : { podCIDR: `10.244.${subnet}.0/24` },
    };
    const isNew = !this.#nodes.has(name);
    this.#nodes.set(name, this.#add(isNew ? "ADDED" : "MODIFIED", node as unknown as UnreliableNode));
  }

  /**
   * From now on events arrive as they should, and watches that have lost one end. A last node joins: a watcher that knows it
   * has heard, or listed, all that was before. Without it, an older state that is the same by chance would pass for
   * the last.
   */
  beHonest(): void {
    this.#isHonest = true;
    const node = {
      metadata: { name: LAST_NODE, uid: LAST_NODE, annotations: annotationsOf(200, 200, "01") },
    };
    const spec = { podCIDR: "10.244.200.0/24" };
    this.#nodes.set(LAST_NODE, this.#add("ADDED", { ...node, spec } as unknown as UnreliableNode));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#nudge();
    await this.#server.shutdown();
  }

  #add(type: Event["type"], node: UnreliableNode): UnreliableNode {
    const revision = ++this.#revision;
    const object = { ...node, metadata: { ...node.metadata, resourceVersion: String(revision) } };
    this.#events.push({ revision, type, object });
    this.#nudge();
    return object;
  }

  #nudge(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  #answer({ pathname, searchParams }: URL, accept: string): Response {
    const [, name] = /^\/api\/v1\/nodes\/(.+)$/.exec(pathname) ?? [];
    if (name !== undefined) {
      const node = this.#nodes.get(name);
      return node === undefined
        ? Response.json({ message: "not found" }, { status: 404 })
        : Response.json(node);
    }
    if (searchParams.get("watch") === null) {
      return Response.json({
        kind: "NodeList",
        // Something else has changed since, as there always is: so a list is newer than every watch.
        metadata: { resourceVersion: String(++this.#revision) },
        items: this.nodes,
      });
    }
    if (searchParams.has("sendInitialEvents")) {
      return Response.json({ kind: "Status", code: 422, message: "it does not stream lists" }, {
        status: 422,
      });
    }
    const from = Number(searchParams.get("resourceVersion"));
    if (from < this.#horizon) {
      return Response.json({ kind: "Status", code: 410, message: "too old resource version" }, {
        status: 410,
      });
    }
    return new Response(
      ReadableStream.from(this.#watch(from, accept.includes("as=PartialObjectMetadata;"))).pipeThrough(
        new TextEncoderStream(),
      ),
    );
  }

  async *#watch(from: number, isPartial: boolean): AsyncGenerator<string> {
    let told = from;
    let hasLost = false;
    let left = Math.floor(this.#random() * 20) + 1;
    while (!this.#isClosed && (this.#isHonest ? !hasLost : left-- > 0)) {
      const events = this.#events.filter(({ revision }) => revision > told);
      if (events.length === 0) {
        await this.#wake.promise;
        continue;
      }
      told = events.at(-1)!.revision;
      const kept = events.filter(() => this.#isHonest || !this.#losesEvents || this.#random() > 0.2);
      hasLost ||= kept.length < events.length;
      const sent = this.#isHonest ? events : this.#garble(kept);
      for (const { type, object } of sent) {
        yield `${JSON.stringify({ type, object: isPartial ? { metadata: object.metadata } : object })}\n`;
      }
    }
    // A watcher that comes back from here has to list anew.
    if (hasLost) this.#horizon = this.#revision + 1;
  }

  #garble(kept: readonly Event[]): readonly Event[] {
    const again = this.#events.filter(() => this.#random() < 0.1);
    const all = [...kept, ...again, ...kept.filter(() => this.#random() < 0.2)];
    return this.#random() < 0.5 ? all : all.sort(() => this.#random() - 0.5);
  }
}

/** What a member says of itself. */
function annotationsOf(number: number, host: number, mac: string): Record<string, string> {
  return {
    [`${PREFIX}kube-subnet-manager`]: "true",
    [`${PREFIX}backend-type`]: "vxlan",
    [`${PREFIX}public-ip`]: `192.0.2.${host}`,
    [`${PREFIX}backend-data`]: `{"VNI":1,"VtepMAC":"0e:00:00:00:${
      number.toString(16).padStart(2, "0")
    }:${mac}"}`,
  };
}
