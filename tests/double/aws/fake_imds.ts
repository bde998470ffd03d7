import { faultAnswer } from "./answer.ts";
import { AwsError } from "./aws_error.ts";
import type { Cloud } from "./cloud.ts";
import type { Call, Control } from "./control.ts";
import type { Credentials, Identities } from "./identities.ts";
import type { Instance, NetworkInterface } from "./resources.ts";

const TOKEN_SECONDS = { min: 1, max: 21_600 } as const;
const TOKEN_HEADER = "x-aws-ec2-metadata-token";
const TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds";

/** How an instance's metadata service is set. Each may be set at any time. */
export interface ImdsSettings {
  /** Answers without a token too, as version 1. */
  isVersion1Allowed: boolean;
  /** Answers to PUT get lost on their way, as for a container with hop limit 1. */
  isTooFar: boolean;
  isDisabled: boolean;
  /** How long the role's credentials hold. New ones are made when half of that is over. */
  credentialSeconds: number;
}

/** What the service works on. */
export interface ImdsDeps {
  readonly cloud: Cloud;
  readonly identities: Identities;
  readonly control: Control;
  readonly instanceId: string;
  readonly settings: ImdsSettings;
  readonly closing: AbortSignal;
}

/** A text, or a folder of such. */
type Entry = string | { readonly [name: string]: Entry | undefined };

/** The metadata service of one instance. */
export class FakeImds {
  readonly #deps: ImdsDeps;
  /** When each token ends. */
  readonly #tokens = new Map<string, number>();
  #credentials: Required<Credentials> | undefined;

  constructor(deps: ImdsDeps) {
    this.#deps = deps;
  }

  /** Answers one request. */
  async handle(request: Request): Promise<Response> {
    const { control, settings, closing } = this.#deps;
    const path = new URL(request.url).pathname;
    const action = `${request.method} ${path}`;
    const caller = this.#deps.instanceId;
    const call: Call = { service: "imds", action, caller, isDryRun: false, query: undefined, result: "ok" };
    control.calls.push(call);
    const fault = control.takeFault(call);
    const refused = (status: number, title: string) => {
      call.result = String(status);
      return new Response(title, { status, headers: { "content-type": "text/plain" } });
    };
    if (fault instanceof AwsError) return refused(fault.status, fault.message);
    if (fault === "throttle") return refused(503, "Service Unavailable");
    if (fault !== undefined) return await faultAnswer(fault, closing);
    if (settings.isDisabled) return refused(403, "Forbidden");
    if (request.method === "PUT" && path === "/latest/api/token") {
      if (settings.isTooFar) return await faultAnswer("silence", closing);
      return this.#tokenFor(request) ??
        refused(request.headers.has("x-forwarded-for") ? 403 : 400, "Bad Request");
    }
    if (request.method !== "GET") return refused(405, "Method Not Allowed");
    if (!this.#isKnown(request)) return refused(401, "Unauthorized");
    const text = this.#read(path);
    return text === undefined
      ? refused(404, "Not Found")
      : new Response(text, { headers: { "content-type": "text/plain" } });
  }

  /** Has the role's credentials be other ones from now on. */
  renewCredentials(): void {
    this.#credentials = undefined;
  }

  #tokenFor(request: Request): Response | undefined {
    const text = request.headers.get(TTL_HEADER) ?? "";
    const seconds = /^\d{1,5}$/.test(text) ? Number(text) : 0;
    const isRight = seconds >= TOKEN_SECONDS.min && seconds <= TOKEN_SECONDS.max;
    if (!isRight || request.headers.has("x-forwarded-for")) return undefined;
    const token = btoa(crypto.randomUUID());
    this.#tokens.set(token, this.#deps.control.now() + seconds * 1000);
    return new Response(token, { headers: { "content-type": "text/plain", [TTL_HEADER]: text } });
  }

  #isKnown(request: Request): boolean {
    const token = request.headers.get(TOKEN_HEADER);
    if (token === null) return this.#deps.settings.isVersion1Allowed;
    return (this.#tokens.get(token) ?? 0) > this.#deps.control.now();
  }

  #read(path: string): string | undefined {
    const { cloud, instanceId } = this.#deps;
    const parts = path.split("/").slice(1);
    if (parts[0] !== "latest") return undefined;
    let entry: Entry | undefined = this.#tree(cloud.instances.get(instanceId)!);
    for (const part of parts.slice(1)) {
      if (part === "") break;
      if (typeof entry !== "object" || !Object.hasOwn(entry, part)) return undefined;
      entry = entry[part];
    }
    if (typeof entry !== "object") return entry;
    return Object.entries(entry).filter(([, inner]) => inner !== undefined)
      .map(([name, inner]) => typeof inner === "object" ? `${name}/` : name).join("\n");
  }

  #tree(instance: Instance): Entry {
    const { cloud } = this.#deps;
    const interfaces = cloud.interfacesOf(instance.id);
    const primary = interfaces[0]!;
    return {
      "dynamic": {
        "instance-identity": {
          document: JSON.stringify({
            accountId: cloud.account,
            availabilityZone: instance.zone,
            instanceId: instance.id,
            instanceType: instance.type,
            privateIp: primary.addresses[0],
            region: cloud.region,
            version: "2017-09-30",
          }),
        },
      },
      "meta-data": {
        "iam": instance.role === undefined ? undefined : {
          "security-credentials": { [instance.role]: this.#roleCredentials(instance.role) },
        },
        "instance-id": instance.id,
        "instance-type": instance.type,
        "local-ipv4": primary.addresses[0],
        "mac": primary.mac,
        "network": {
          interfaces: { macs: Object.fromEntries(interfaces.map((eni) => this.#interface(eni))) },
        },
        "placement": { "availability-zone": instance.zone, "region": cloud.region },
        "services": { domain: "amazonaws.com", partition: "aws" },
      },
    };
  }

  #interface(eni: NetworkInterface): [string, Entry] {
    const { cloud } = this.#deps;
    const subnet = cloud.subnets.get(eni.subnetId)!;
    const vpc = cloud.vpcs.get(eni.vpcId)!;
    const isIpv6 = eni.ipv6Addresses.length > 0;
    return [eni.mac, {
      "device-number": String(eni.attachment!.deviceIndex),
      "interface-id": eni.id,
      "ipv6s": isIpv6 ? eni.ipv6Addresses.join("\n") : undefined,
      "local-ipv4s": eni.addresses.join("\n"),
      "mac": eni.mac,
      "owner-id": cloud.account,
      "security-group-ids": eni.groups.join("\n"),
      "security-groups": eni.groups.map((id) => cloud.securityGroups.get(id)!.name).join("\n"),
      "subnet-id": subnet.id,
      "subnet-ipv4-cidr-block": subnet.cidr,
      "subnet-ipv6-cidr-blocks": isIpv6 ? subnet.ipv6Cidr : undefined,
      "vpc-id": vpc.id,
      "vpc-ipv4-cidr-block": vpc.cidrs[0],
      "vpc-ipv4-cidr-blocks": vpc.cidrs.join("\n"),
      "vpc-ipv6-cidr-blocks": isIpv6 ? vpc.ipv6Cidrs.join("\n") : undefined,
    }];
  }

  #roleCredentials(role: string): string {
    const { control, identities, instanceId, settings } = this.#deps;
    const halfMs = settings.credentialSeconds * 500;
    if (this.#credentials === undefined || this.#credentials.expiresAt.getTime() - control.now() < halfMs) {
      this.#credentials = identities.issue(role, instanceId, settings.credentialSeconds);
    }
    const { accessKeyId, secretAccessKey, sessionToken, expiresAt } = this.#credentials;
    return JSON.stringify({
      Code: "Success",
      LastUpdated: toSeconds(new Date(control.now())),
      Type: "AWS-HMAC",
      AccessKeyId: accessKeyId,
      SecretAccessKey: secretAccessKey,
      Token: sessionToken,
      Expiration: toSeconds(expiresAt),
    });
  }
}

/** AWS's times in JSON have no fractions. */
export function toSeconds(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, "Z");
}
