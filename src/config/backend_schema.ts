import { _default, custom, object, optional, pipe, transform, type ZodMiniType } from "zod/mini";
import { isUnicastMac, type Mac } from "../model/address.ts";
import { type AwsVpcConfig, awsVpcOf } from "./aws_schema.ts";
import { BACKEND_TYPES, type BackendType } from "./backend_types.ts";
import { integer, mustBe, numbers, parsed, truth } from "./schema_parts.ts";

/** How VTEPs are made (`Backend` of type `vxlan`, or `auto`, which is that with direct routes). */
export interface VxlanConfig {
  readonly type: "vxlan" | "auto";
  /** VXLAN network identifier, 24 bits. */
  readonly vni: number;
  /** UDP destination port. */
  readonly port: number;
  /** Largest outer packet; absent where the underlay's MTU says it. */
  readonly mtuBytes: number | undefined;
  /** Whether the group policy extension is on. */
  readonly gbp: boolean;
  /** Whether the VTEP learns remote MACs from traffic. */
  readonly learning: boolean;
  /** Whether hosts on the same underlay segment are reached without encapsulation. */
  readonly directRouting: boolean;
  /** The first 16 bits of the VTEP's MAC: `0E-2A` is `0x0e2a`. Absent where any will do. */
  readonly macPrefix?: number;
}

/** `Backend` of a type that encapsulates nothing. */
export interface PlainConfig {
  readonly type: Exclude<BackendType, (VxlanConfig | AwsVpcConfig)["type"]>;
  /** Largest packet of a pod; absent where the underlay's MTU says it. */
  readonly mtuBytes: number | undefined;
}

/** How hosts reach each other. */
export type BackendConfig = VxlanConfig | PlainConfig | AwsVpcConfig;

/** What Linux uses where `Port` is 0; IANA's 4789 came later. */
const LINUX_VXLAN_PORT = 8472;
/** Every IPv4 host takes packets of this size (RFC 791). */
const MIN_MTU_BYTES = 576;
/** The smallest MTU of IPv6 (RFC 8200). */
const MIN_MTU_BYTES_IPV6 = 1280;
/** What VXLAN in IPv6 puts around a packet. */
const VXLAN_OVERHEAD_BYTES_IPV6 = 70;
const MAC_PREFIX = /^[0-9a-fA-F]{2}[-:][0-9a-fA-F]{2}$/;

function parseMacPrefix(text: string): number {
  const octets = Number.parseInt(text.replace(/[-:]/, ""), 16);
  if (!MAC_PREFIX.test(text) || !isUnicastMac(octets * 2 ** 32 + 1 as Mac)) {
    throw new SyntaxError(`Cannot parse MAC prefix "${text}"`);
  }
  return octets;
}

function mtu(minimum: number) {
  const isMtu = (value: unknown) => value === 0 || value as number >= minimum && value as number <= 65535;
  const why = minimum > MIN_MTU_BYTES ? " (an IPv6 overlay needs them)" : "";
  return custom<number>(
    (value) => Number.isInteger(value) && isMtu(value),
    { error: (issue) => mustBe(numbers(`0 or ${minimum} to 65535${why}`, issue.input), issue.input) },
  );
}

const isDirect = {
  vxlan: truth(false),
  auto: _default(
    custom<boolean>((value) => value === true, {
      error: (issue) => `${mustBe("true", issue.input)}; without it auto is vxlan`,
    }),
    true,
  ),
} as const;

function vxlanOf(type: VxlanConfig["type"], minimumMtuBytes: number) {
  return pipe(
    object({
      VNI: _default(integer(1, 0xff_ffff), 1),
      Port: _default(integer(0, 65535), 0),
      MTU: _default(mtu(minimumMtuBytes), 0),
      GBP: truth(false),
      Learning: truth(false),
      DirectRouting: isDirect[type],
      MacPrefix: optional(parsed("two hexadecimal octets of a unicast MAC as 0e-2a", parseMacPrefix)),
    }),
    transform((file): VxlanConfig => ({
      type,
      vni: file.VNI,
      port: file.Port || LINUX_VXLAN_PORT,
      mtuBytes: file.MTU || undefined,
      gbp: file.GBP,
      learning: file.Learning,
      directRouting: file.DirectRouting,
      ...file.MacPrefix !== undefined && { macPrefix: file.MacPrefix },
    })),
  );
}

function plainOf(type: PlainConfig["type"], minimumMtuBytes: number) {
  return pipe(
    object({ MTU: _default(mtu(minimumMtuBytes), 0) }),
    transform((file): PlainConfig => ({ type, mtuBytes: file.MTU || undefined })),
  );
}

/**
 * `Backend` of one type, in flannel's spelling on the left and ours on the right. `MTU` of the types that encapsulate
 * nothing is Loden's own.
 *
 * Source: flannel Documentation/backends.md.
 */
export function backendSchema(
  type: BackendType,
  options: { readonly hasIpv6: boolean },
): ZodMiniType<BackendConfig> {
  return schemaOf(type, options);
}

function schemaOf(type: BackendType, { hasIpv6 }: { readonly hasIpv6: boolean }) {
  const minimum = hasIpv6 ? MIN_MTU_BYTES_IPV6 : MIN_MTU_BYTES;
  if (type === "aws-vpc") return awsVpcOf(mtu(minimum));
  if (type !== "vxlan" && type !== "auto") return plainOf(type, minimum);
  return vxlanOf(type, minimum + (hasIpv6 ? VXLAN_OVERHEAD_BYTES_IPV6 : 0));
}

/** The keys of `Backend`, by its type. */
export const BACKEND_KEYS = Object.fromEntries(
  BACKEND_TYPES.map((type) => [type, keysOf(type)]),
) as Readonly<Record<BackendType, readonly string[]>>;

/** Reports whether `type` is that of a backend which is here. */
export function isBackendType(type: string | undefined): type is BackendType {
  return type !== undefined && Object.hasOwn(BACKEND_KEYS, type);
}

function keysOf(type: BackendType): readonly string[] {
  return Object.keys(schemaOf(type, { hasIpv6: false }).def.in.shape);
}
