import { assertEquals } from "@std/assert";
import { leastPolicy } from "../../src/cloud/aws/policy.ts";
import { parseNetworkConfig } from "../../src/config/network.ts";
import { parse } from "yaml";
import { renderObjects } from "./chart.ts";
import { type ConfigMap, manifestPath, only } from "./objects.ts";

const SCOPE = { partition: "aws", region: "REGION", account: "ACCOUNT", cluster: "CLUSTER" };

/** The documents of `manifests/aws`, by file. `LODEN_WRITE=1` writes them. */
const DOCUMENTS: Readonly<Record<string, unknown>> = {
  "policy.json": leastPolicy({ eni: { kind: "auto" }, turnsCheckOff: true }, SCOPE),
  "policy-managed.json": leastPolicy({ eni: { kind: "managed" }, turnsCheckOff: true }, SCOPE),
  "trust-policy.json": {
    Version: "2012-10-17",
    Statement: [{
      Effect: "Allow",
      Principal: { Federated: "arn:aws:iam::ACCOUNT:oidc-provider/PROVIDER" },
      Action: "sts:AssumeRoleWithWebIdentity",
      Condition: {
        StringEquals: {
          "PROVIDER:aud": "sts.amazonaws.com",
          "PROVIDER:sub": "system:serviceaccount:kube-flannel:flannel",
        },
      },
    }],
  },
};

for (const [name, document] of Object.entries(DOCUMENTS)) {
  Deno.test(`manifests/aws/${name} is what the program prints and the agent needs`, async () => {
    const path = manifestPath(`aws/${name}`);
    const text = `${JSON.stringify(document, undefined, 2)}\n`;
    if (Deno.env.get("LODEN_WRITE") === "1") await Deno.writeTextFile(path, text);
    assertEquals(await Deno.readTextFile(path), text, "LODEN_WRITE=1 writes it anew");
  });
}

Deno.test("the values of aws make the chart's backend and role, and change nothing else", async () => {
  const values = parse(await Deno.readTextFile(manifestPath("aws/values.yaml")));
  const objects = await renderObjects(values);
  const { metadata } = only("ServiceAccount", objects);
  assertEquals(metadata.annotations, { "eks.amazonaws.com/role-arn": "arn:aws:iam::ACCOUNT:role/flannel" });
  const text = only<ConfigMap>("ConfigMap", objects).data["net-conf.json"]!;
  const { config, warnings } = parseNetworkConfig(text, { source: "net-conf.json" });
  assertEquals([config.backend.type, warnings], ["aws-vpc", []]);
  assertEquals(objects.length, (await renderObjects({})).length);
});
