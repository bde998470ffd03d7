import {
  _default,
  NEVER,
  object,
  optional,
  pipe,
  string,
  transform,
  unknown,
  type ZodMiniType,
} from "zod/mini";
import { integer, mustBe, parsed, truth } from "./schema_parts.ts";

/** Which network interface of the instance packets for pods come in by. */
export type EniChoice =
  /** The one that has the underlay's address. */
  | { readonly kind: "auto" }
  | { readonly kind: "id"; readonly id: string }
  | { readonly kind: "device-index"; readonly deviceIndex: number }
  | { readonly kind: "tag"; readonly key: string; readonly value: string }
  /** One that the agent makes and attaches. */
  | { readonly kind: "managed" };

/** How a network interface of the agent's own is made. */
export interface ManagedEniConfig {
  /** Absent where it is that of the instance's first interface. */
  readonly subnetId?: string;
  /** Empty where they are those of the instance's first interface. */
  readonly securityGroupIds: readonly string[];
  /** Addresses beside the first. */
  readonly secondaryAddresses: number;
  /** Prefixes of 16 addresses (/28) beside these. */
  readonly prefixes: number;
}

/** Pod routes in the route tables of a VPC (`Backend` of type `aws-vpc`). */
export interface AwsVpcConfig {
  readonly type: "aws-vpc";
  /** Largest packet of a pod; absent where the underlay's MTU says it. */
  readonly mtuBytes: number | undefined;
  /** Empty where it is the table of the interface's subnet. */
  readonly routeTableIds: readonly string[];
  readonly eni: EniChoice;
  readonly managed: ManagedEniConfig;
  /** Whether the interface's check of source and destination is turned off, or left as it is. */
  readonly turnsCheckOff: boolean;
  /** Whether a route of this host's subnet that leads to another host gives way. */
  readonly takesForeign: boolean;
  /** Whether routes that hosts left behind which are gone are deleted. */
  readonly cleansBlackholes: boolean;
  /** The value of the tag `flannel.io/cluster` of what the agent makes; absent where it has none. */
  readonly cluster?: string;
}

/** The ids that AWS gives: older ones have 8 digits, newer ones 17. */
const ID = /^[0-9a-f]{8,17}$/;
const MAX_TABLES = 50;
const MAX_GROUPS = 16;
const MAX_DEVICE_INDEX = 255;
const MAX_SECONDARY = 49;
/** https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html */
const MAX_TAG_KEY = 128;
const MAX_TAG_VALUE = 256;

const TABLES = `the id of a route table as rtb-0123456789abcdef0, a list of at most ${MAX_TABLES}, or auto`;
const GROUPS = `the ids of at most ${MAX_GROUPS} security groups as sg-0123456789abcdef0`;
const ENI = "auto, managed, an id as eni-0123456789abcdef0, device-index=N or tag:KEY=VALUE";

/** What `read` makes of any value, or a sentence that it must be `what`. */
function anyOf<T>(what: string, read: (value: unknown) => T | undefined): ZodMiniType<T> {
  return pipe(
    unknown(),
    transform((value, context): T => {
      const result = read(value);
      if (result !== undefined) return result;
      context.issues.push({ code: "custom", message: mustBe(what, value), input: value });
      return NEVER;
    }),
  ) as unknown as ZodMiniType<T>;
}

function isId(prefix: string, text: string): boolean {
  return text.startsWith(`${prefix}-`) && ID.test(text.slice(prefix.length + 1));
}

/** Ids of a list, or behind each other with commas; `undefined` if one is none. */
function idsOf(value: unknown, prefix: string, most: number): readonly string[] | undefined {
  const texts = typeof value === "string" ? value.split(",").map((text) => text.trim()) : value;
  if (!Array.isArray(texts)) return undefined;
  const ids = [...new Set<unknown>(texts)].filter((text) => text !== "");
  const isRight = (id: unknown): id is string => typeof id === "string" && isId(prefix, id);
  return ids.length <= most && ids.every(isRight) ? ids : undefined;
}

function tablesOf(value: unknown): readonly string[] | undefined {
  return value === "auto" ? [] : idsOf(value, "rtb", MAX_TABLES);
}

function eniOf(text: string): EniChoice {
  if (text === "" || text === "auto") return { kind: "auto" };
  if (text === "managed") return { kind: "managed" };
  if (isId("eni", text)) return { kind: "id", id: text };
  const index = /^device-index=(\d{1,3})$/.exec(text)?.[1];
  if (index !== undefined && Number(index) <= MAX_DEVICE_INDEX) {
    return { kind: "device-index", deviceIndex: Number(index) };
  }
  const [, key, value] = /^tag:([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key !== undefined && key.length <= MAX_TAG_KEY && value!.length <= MAX_TAG_VALUE) {
    return { kind: "tag", key, value: value! };
  }
  throw new SyntaxError(`Cannot read the network interface "${text}"`);
}

/** One of two words; the first one where there is none. */
function either(first: string, second: string): ZodMiniType<string, string | undefined> {
  const read = (text: string) => {
    if (text !== first && text !== second) throw new SyntaxError(`Cannot read "${text}"`);
    return text;
  };
  return _default(parsed(`${first} or ${second}`, read), first);
}

/**
 * `Backend` of type `aws-vpc`. `RouteTableID` is flannel's (text, or a list); the other keys are Loden's own.
 *
 * Source: flannel v0.8.0, Documentation/aws-vpc-backend.md.
 */
// deno-lint-ignore explicit-module-boundary-types
export function awsVpcOf(mtu: ZodMiniType<number>) {
  return pipe(
    object({
      MTU: _default(mtu, 0),
      RouteTableID: _default(anyOf(TABLES, tablesOf), []),
      ENI: _default(parsed(ENI, eniOf), { kind: "auto" }),
      ENISubnetID: optional(parsed("the id of a subnet as subnet-0123456789abcdef0", (text) => {
        if (!isId("subnet", text)) throw new SyntaxError(`Cannot read "${text}"`);
        return text;
      })),
      ENISecurityGroups: _default(anyOf(GROUPS, (value) => idsOf(value, "sg", MAX_GROUPS)), []),
      ENISecondaryAddresses: _default(integer(0, MAX_SECONDARY), 0),
      ENIPrefixes: _default(integer(0, MAX_SECONDARY), 0),
      SourceDestCheck: either("disable", "keep"),
      RouteConflict: either("replace", "fail"),
      BlackholeCleanup: truth(true),
      Cluster: optional(string({ error: (issue) => mustBe("text", issue.input) })),
    }),
    transform((file): AwsVpcConfig => ({
      type: "aws-vpc",
      mtuBytes: file.MTU || undefined,
      routeTableIds: file.RouteTableID,
      eni: file.ENI,
      managed: {
        ...file.ENISubnetID !== undefined && { subnetId: file.ENISubnetID },
        securityGroupIds: file.ENISecurityGroups,
        secondaryAddresses: file.ENISecondaryAddresses,
        prefixes: file.ENIPrefixes,
      },
      turnsCheckOff: file.SourceDestCheck === "disable",
      takesForeign: file.RouteConflict === "replace",
      cleansBlackholes: file.BlackholeCleanup,
      ...file.Cluster !== undefined && file.Cluster !== "" && { cluster: file.Cluster },
    })),
  );
}
