import { object, optional, string } from "zod/mini";
import { parseAnyPrefix } from "../../config/address_text.ts";
import { familyOf, formatPrefix, type Prefix, prefixContains } from "../../model/address.ts";
import { type CallOptions, items, read } from "./ec2_calls.ts";
import type { Ec2Client } from "./ec2_client.ts";

/** What a security group lets through, in one direction. */
export interface GroupRule {
  /** `-1` is every protocol, else `tcp`, `udp`, `icmp` or a number. */
  readonly protocol: string;
  readonly prefixes: readonly Prefix[];
  /** Whether it names security groups: these match no address of a pod. */
  readonly hasGroups: boolean;
}

/** A security group, as EC2 knows it. */
export interface SecurityGroup {
  readonly id: string;
  readonly ingress: readonly GroupRule[];
  readonly egress: readonly GroupRule[];
}

const permissions = items(object({
  ipProtocol: string(),
  groups: items(object({ groupId: optional(string()) })),
  ipRanges: items(object({ cidrIp: string() })),
  ipv6Ranges: items(object({ cidrIpv6: string() })),
}));
const described = object({
  DescribeSecurityGroupsResponse: object({
    securityGroupInfo: items(object({
      groupId: string(),
      ipPermissions: permissions,
      ipPermissionsEgress: permissions,
    })),
  }),
});

/** The security groups with these ids. */
export async function describeSecurityGroups(
  client: Ec2Client,
  ids: readonly string[],
  options: CallOptions,
): Promise<readonly SecurityGroup[]> {
  const action = "DescribeSecurityGroups";
  const answer = await client.call(action, { GroupId: ids }, options);
  const { securityGroupInfo } = read(action, described, answer).DescribeSecurityGroupsResponse;
  return securityGroupInfo.map(({ groupId, ipPermissions, ipPermissionsEgress }) => ({
    id: groupId,
    ingress: ipPermissions.map(ruleOf),
    egress: ipPermissionsEgress.map(ruleOf),
  }));
}

function ruleOf({ ipProtocol, groups, ipRanges, ipv6Ranges }: {
  readonly ipProtocol: string;
  readonly groups: readonly unknown[];
  readonly ipRanges: readonly { readonly cidrIp: string }[];
  readonly ipv6Ranges: readonly { readonly cidrIpv6: string }[];
}): GroupRule {
  const texts = [...ipRanges.map(({ cidrIp }) => cidrIp), ...ipv6Ranges.map(({ cidrIpv6 }) => cidrIpv6)];
  return {
    protocol: ipProtocol,
    prefixes: texts.flatMap((text) => {
      try {
        return [parseAnyPrefix(text)];
      } catch {
        return [];
      }
    }),
    hasGroups: groups.length > 0,
  };
}

/**
 * What of a network's packets the groups of an interface do not let through, one sentence each; groups add up.
 *
 * A rule that names a security group matches the addresses of interfaces in that group, and no pod has one of these.
 */
export function groupFaults(groups: readonly SecurityGroup[], networks: readonly Prefix[]): string[] {
  const names = groups.map(({ id }) => id).join(", ");
  return networks.flatMap((network) =>
    (["ingress", "egress"] as const).flatMap((direction) => {
      const rules = groups.flatMap((group) => group[direction]);
      const matching = rules.filter(({ prefixes }) => prefixes.some((prefix) => isWithin(network, prefix)));
      if (matching.some(({ protocol }) => protocol === "-1")) return [];
      const way = direction === "ingress" ? "in from" : "out to";
      const text = formatPrefix(network);
      if (matching.length > 0) {
        const protocols = [...new Set(matching.map(({ protocol }) => protocol))].join(", ");
        return [`${names} let only ${protocols} ${way} ${text}: other packets of pods are dropped`];
      }
      const hint = rules.some(({ hasGroups }) => hasGroups)
        ? "; a rule that names a security group does not match pods"
        : "";
      return [`${names} let nothing ${way} ${text}: allow all traffic ${way} that prefix${hint}`];
    })
  );
}

function isWithin(part: Prefix, whole: Prefix): boolean {
  return familyOf(part.address) === familyOf(whole.address) && part.length >= whole.length &&
    prefixContains(whole, part.address);
}
