import { X509Certificate } from "node:crypto";
import type { RegistryOptions } from "../../config/registry_flags.ts";
import { errorText } from "../../log/error_text.ts";
import { LinkedAbort } from "../../loop/linked_abort.ts";
import { HttpDoor } from "../../registry/http/http_door.ts";
import { etcdProxyFor } from "../../registry/http/proxy.ts";
import { pemBlocks } from "../../registry/http/pem.ts";
import type { KubeAccess } from "../../registry/kube/kube_config.ts";
import { NAME_REGISTRY } from "../agent_flags.ts";
import { type Check, check } from "./check.ts";
import { doubtful, ok, type Said, unseen, UnseenError, wrong } from "./finding.ts";
import { judgeLeases } from "./lease_checks.ts";
import type { Followed } from "./follow.ts";
import type { DoctorPlace } from "./place.ts";

/** Where leases are agreed on, and what is in there. */
export const REGISTRY_CHECKS: readonly Check[] = [
  {
    name: "configuration",
    limitMs: 3000,
    look: async (place) => {
      try {
        const { config: { families, backend } } = await place.givenConfig;
        const { formatPrefix } = await import("../../model/address.ts");
        return [
          ok(`${families.map(({ network }) => formatPrefix(network)).join(" and ")} by ${backend.type}`),
        ];
      } catch (error) {
        return [notRead(error, place)];
      }
    },
  },
  { name: "registry", limitMs: 5000, look: async (place) => judgeContact(await place.followed, place) },
  check("certificates", readCertificates, (found) => judgeCertificates(found, Date.now())),
  check("server-clock", readServerClock, judgeServerClock, { limitMs: 3000 }),
  check("permissions", readPermissions, judgePermissions, { limitMs: 3000 }),
  {
    name: "leases",
    limitMs: 6000,
    look: async (place) => {
      const { config: { families } } = await place.config;
      const found = await place.followed;
      if (found.leases === undefined) return [unseen("the registry has not told its leases")];
      return judgeLeases({
        leases: found.leases,
        faults: found.faults,
        networks: families.map(({ network }) => network),
        leaseType: (await place.backend).leaseType,
      });
    },
  },
];

/** What nobody has named by a flag is only tried. */
const NAMED_BY: Readonly<Record<RegistryOptions["kind"], readonly string[]>> = {
  etcd: ["etcd-endpoints", "etcd-prefix", "etcd-cafile", "etcd-certfile", "etcd-username"],
  kube: ["kube-subnet-mgr"],
  local: ["local-registry"],
};
const UNNAMED = "no registry is named";
const NAME_IT = `run this with ${NAME_REGISTRY}`;

/** Whether the registry is the one that somebody has named, with all that it is reached by. */
function isNamed({ options, given, leftOut }: DoctorPlace): boolean {
  return leftOut.length === 0 && NAMED_BY[options.registry.kind].some((flag) => given.has(flag));
}

/** What is not wrong, as it may only be asked for in another way. */
function notNamed(reason: string, { leftOut }: DoctorPlace): Said {
  return leftOut.length > 0
    ? unseen(`${reason}; the agent had ${leftOut.join(" and ")}, which is noted nowhere`, "give it again")
    : unseen(`${UNNAMED}: ${reason}`, NAME_IT);
}

function notRead(error: unknown, place: DoctorPlace): Said {
  if (error instanceof UnseenError) return unseen(error.message);
  const reason = errorText(error);
  const isGiven = place.options.registry.kind === "etcd" ? isNamed(place) : place.given.size > 0;
  return isGiven ? wrong(reason, "mend it, or name another") : notNamed(reason, place);
}

function judgeContact({ name, leases, reason }: Followed, place: DoctorPlace): readonly Said[] {
  if (leases !== undefined) return [ok(`${name} answers`)];
  const text = `${name} can't be followed: ${reason}`;
  return [
    isNamed(place) ? wrong(text, "see whether it runs, and what stands between") : notNamed(text, place),
  ];
}

/** A certificate of this host or of an authority, and until when it is valid. */
export interface FoundCertificate {
  /** A file, or a key of the kubeconfig. */
  readonly name: string;
  /** Milliseconds since 1970; `undefined` if it can't be read. */
  readonly endsAtMs: number | undefined;
  readonly beginsAtMs?: number;
  readonly fault?: string;
}

const DAY_MS = 24 * 3600_000;
/** So long before its end a certificate is told. */
const SOON_MS = 14 * DAY_MS;

async function readCertificates(place: DoctorPlace): Promise<readonly FoundCertificate[]> {
  const { registry } = place.options;
  if (registry.kind === "local") return [];
  const { files = {}, texts = {} } = registry.kind === "etcd"
    ? { files: registry.tls }
    : (await accessOf(place)).tls;
  const found: FoundCertificate[] = [];
  const named: readonly (readonly [name: string | undefined, text: string | undefined])[] = [
    [files.certFile, undefined],
    [files.caFile, undefined],
    ["client-certificate-data of the kubeconfig", texts.cert],
    ["certificate-authority-data of the kubeconfig", texts.ca],
  ];
  for (const [name, given] of named) {
    if (name === undefined || name.endsWith("kubeconfig") && given === undefined) continue;
    try {
      found.push({ name, ...validity(given ?? await place.files.readCredential(name)) });
    } catch (error) {
      found.push({ name, endsAtMs: undefined, fault: errorText(error) });
    }
  }
  return found;
}

/** How long a file's certificates are valid: of the first, which is a host's own, or of an authority. */
function validity(pem: string): { readonly endsAtMs: number | undefined; readonly beginsAtMs?: number } {
  const [block] = pemBlocks(pem).filter(({ label }) => label === "CERTIFICATE");
  if (block === undefined) return { endsAtMs: undefined };
  const { validTo, validFrom } = new X509Certificate(block.text);
  return { endsAtMs: Date.parse(validTo), beginsAtMs: Date.parse(validFrom) };
}

export function judgeCertificates(found: readonly FoundCertificate[], nowMs: number): readonly Said[] {
  const said = found.flatMap(({ name, endsAtMs, beginsAtMs, fault }): Said[] => {
    if (fault !== undefined) return [wrong(`${name} can't be read: ${fault}`, "mend it, or name another")];
    if (endsAtMs === undefined) return [wrong(`${name} holds no certificate in PEM`, "put one there")];
    const day = (ms: number) => new Date(ms).toISOString().slice(0, 10);
    if (endsAtMs <= nowMs) return [wrong(`${name} has expired on ${day(endsAtMs)}`, "renew it")];
    if (beginsAtMs !== undefined && beginsAtMs > nowMs) {
      return [
        wrong(
          `${name} is not valid before ${new Date(beginsAtMs).toISOString()}`,
          "see whether this host's clock is right",
        ),
      ];
    }
    return endsAtMs - nowMs < SOON_MS ? [doubtful(`${name} expires on ${day(endsAtMs)}`, "renew it")] : [];
  });
  if (said.length > 0) return said;
  if (found.length === 0) return [ok("none are asked for")];
  const first = Math.min(...found.map(({ endsAtMs }) => endsAtMs!));
  return [ok(`valid until ${new Date(first).toISOString().slice(0, 10)}`)];
}

async function accessOf(place: DoctorPlace): Promise<KubeAccess> {
  const { registry } = place.options;
  if (registry.kind !== "kube") throw new UnseenError("leases are not in Kubernetes");
  const { findApiServer } = await import("../../registry/kube/kube_config.ts");
  const { apiUrl: url, kubeconfigFile } = registry;
  const { environment, files: { readCredential } } = place;
  return await findApiServer({ url, kubeconfigFile }, { readTextFile: readCredential, environment });
}

/** How far the server's clock is from this host's; `undefined` where it does not tell, `"none"` where there is no server. */
export type FoundServerClock = { readonly aheadMs: number } | undefined | "none";

async function readServerClock(place: DoctorPlace): Promise<FoundServerClock> {
  const { registry } = place.options;
  if (registry.kind === "local") return "none";
  const { url, tls, proxy }: Pick<KubeAccess, "url" | "tls" | "proxy"> = registry.kind === "etcd"
    ? { url: registry.endpoints[0]!, tls: { files: registry.tls } }
    : await accessOf(place);
  const proxyOf = registry.kind === "etcd" ? etcdProxyFor : proxy && (() => proxy);
  using door = new HttpDoor({ readTextFile: place.files.readCredential }, tls, proxyOf);
  using abort = new LinkedAbort(place.signal);
  abort.limit(2000, new UnseenError("the server does not answer"));
  const startedMs = Date.now();
  let response: Response;
  try {
    response = await door.fetch(`${url}/version`, { signal: abort.signal });
  } catch (error) {
    // That it does not answer another check says.
    throw new UnseenError(error instanceof UnseenError ? error.message : "the server does not answer", {
      cause: error,
    });
  }
  const halfMs = (Date.now() - startedMs) / 2;
  await response.body?.cancel();
  const saidMs = Date.parse(response.headers.get("date") ?? "");
  if (Number.isNaN(saidMs)) return undefined;
  // It names whole seconds, cut off.
  return { aheadMs: saidMs + 500 - (startedMs + halfMs) };
}

/** More than what a slow answer and whole seconds account for. */
const DOUBTFUL_MS = 5000;
/** Certificates and tokens that were issued now are refused. */
const WRONG_MS = 300_000;

export function judgeServerClock(found: FoundServerClock): Said {
  if (found === "none") return ok("the registry is on this machine");
  if (found === undefined) return unseen("the server does not tell its time");
  const { aheadMs } = found;
  const seconds = Math.round(Math.abs(aheadMs) / 1000);
  const text = `the server's clock is ${seconds} s ${aheadMs > 0 ? "ahead of" : "behind"} this host's`;
  const remedy = "have both synchronize their clocks";
  if (Math.abs(aheadMs) >= WRONG_MS) return wrong(`${text}: certificates and tokens are refused`, remedy);
  return Math.abs(aheadMs) >= DOUBTFUL_MS
    ? doubtful(text, remedy)
    : ok("the server's clock and this host's agree");
}

/** What the agent does in Kubernetes, as manifests/kube-flannel.yml allows it. */
const NEEDED: readonly { readonly verb: string; readonly resource: string; readonly subresource?: string }[] =
  [
    { verb: "get", resource: "nodes" },
    { verb: "list", resource: "nodes" },
    { verb: "watch", resource: "nodes" },
    { verb: "patch", resource: "nodes", subresource: "status" },
  ];

/** What may be done, and what not; `undefined` where that is no question of Kubernetes. */
export type FoundPermissions = readonly { readonly what: string; readonly isAllowed: boolean }[] | undefined;

async function readPermissions(place: DoctorPlace): Promise<FoundPermissions> {
  if (place.options.registry.kind !== "kube") return undefined;
  const access = await accessOf(place);
  const { KubeClient } = await import("../../registry/kube/kube_client.ts");
  using client = new KubeClient(access, {
    readTextFile: place.files.readCredential,
    elapsedMs: () => performance.now(),
  });
  return await Promise.all(NEEDED.map(async ({ verb, resource, subresource }) => {
    const resourceAttributes = { verb, resource, ...subresource !== undefined && { subresource } };
    const answer = await client.request(
      "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
      { status: { allowed: true } },
      {
        method: "POST",
        body: {
          apiVersion: "authorization.k8s.io/v1",
          kind: "SelfSubjectAccessReview",
          spec: { resourceAttributes },
        },
        signal: place.signal,
      },
    );
    const allowed = (answer as { readonly status?: { readonly allowed?: unknown } } | undefined)?.status
      ?.allowed;
    const what = `${verb} ${resource}${subresource === undefined ? "" : `/${subresource}`}`;
    return { what, isAllowed: allowed === true };
  }));
}

export function judgePermissions(found: FoundPermissions): Said {
  if (found === undefined) return ok("the registry is not Kubernetes");
  const denied = found.filter(({ isAllowed }) => !isAllowed).map(({ what }) => what);
  return denied.length === 0 ? ok(`${found.map(({ what }) => what).join(", ")} are allowed`) : wrong(
    `the service account may not ${denied.join(", ")}`,
    "apply the ClusterRole flannel of manifests/kube-flannel.yml, and bind it to the service account",
  );
}
