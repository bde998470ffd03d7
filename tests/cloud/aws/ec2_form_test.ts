import { assertEquals } from "@std/assert";
import { EC2_VERSION, ec2Form, filter, type FormValue } from "../../../src/cloud/aws/ec2_form.ts";

const cases: readonly [parameters: Record<string, FormValue>, form: string, why: string][] = [
  [{}, "", "a call may have no parameters"],
  [{ RouteTableId: ["rtb-1", "rtb-2"] }, "&RouteTableId.1=rtb-1&RouteTableId.2=rtb-2", "lists count from 1"],
  [{ RouteTableId: [] }, "", "an empty list says nothing"],
  [{ SourceDestCheck: { Value: false } }, "&SourceDestCheck.Value=false", "false is a value"],
  [
    { Ipv4PrefixCount: 0, DryRun: undefined },
    "&Ipv4PrefixCount=0",
    "zero is a value, what is absent is none",
  ],
  [
    { Filter: [filter("vpc-id", "vpc-1"), filter("tag:a b", "c&d=e", "ü")] },
    "&Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1" +
    "&Filter.2.Name=tag%3Aa+b&Filter.2.Value.1=c%26d%3De&Filter.2.Value.2=%C3%BC",
    "text is escaped, so that no value is another parameter",
  ],
  [
    { TagSpecification: [{ ResourceType: "network-interface", Tag: [{ Key: "k", Value: "" }] }] },
    "&TagSpecification.1.ResourceType=network-interface&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value=",
    "objects stand in lists, and these in objects",
  ],
];

for (const [parameters, form, why] of cases) {
  Deno.test(`ec2Form() writes ${JSON.stringify(parameters)}: ${why}`, () => {
    assertEquals(ec2Form("CreateRoute", parameters), `Action=CreateRoute&Version=${EC2_VERSION}${form}`);
  });
}
