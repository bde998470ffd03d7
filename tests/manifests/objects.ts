import { parse } from "yaml";
import type { PodTemplateSpec } from "kubernetes-types/core/v1";

/** An object of Kubernetes, as a manifest has it. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

export interface ConfigMap extends KubeObject {
  readonly data: Readonly<Record<string, string>>;
}

export interface Role extends KubeObject {
  readonly rules: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
  }[];
}

export interface RoleBinding extends KubeObject {
  readonly roleRef: unknown;
  readonly subjects: readonly unknown[];
}

export interface DaemonSet extends KubeObject {
  readonly spec: {
    readonly selector: unknown;
    readonly updateStrategy: unknown;
    readonly template: PodTemplateSpec & Pick<KubeObject, "metadata">;
  };
}

/** The user that agents are, by the manifest. */
export const ACCOUNT = "system:serviceaccount:kube-flannel:flannel";
const MANIFESTS = new URL("../../manifests/", import.meta.url);

/** The path of a file in the folder manifests. */
export function manifestPath(name: string): string {
  return new URL(name, MANIFESTS).pathname;
}

/** The objects of a stream of YAML documents, in their order; empty documents are none. */
export function parseObjects(yaml: string): KubeObject[] {
  return yaml.split(/^---$/m).map((text) => parse(text) as KubeObject | null).filter((object) =>
    object !== null
  );
}

/** The objects of a file in the folder manifests. */
export async function readObjects(name: string): Promise<KubeObject[]> {
  return parseObjects(await Deno.readTextFile(manifestPath(name)));
}

/**
 * The only object of a kind.
 *
 * @throws {Error} If there is none, or more than one.
 */
export function only<T extends KubeObject>(kind: string, objects: readonly KubeObject[]): T {
  const [found, ...others] = objects.filter((object) => object.kind === kind);
  if (found === undefined || others.length > 0) {
    const kinds = objects.map((object) => object.kind).join(", ");
    throw new Error(`Cannot find the only ${kind}: the kinds are ${kinds}`);
  }
  return found as T;
}

/** The verbs that a role gives, by resource. */
export function verbsOf({ rules }: Role): Record<string, readonly string[]> {
  return Object.fromEntries(
    rules.flatMap(({ resources, verbs }) => resources.map((resource) => [resource, verbs])),
  );
}
