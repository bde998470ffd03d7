import { evaluate } from "@marcbachmann/cel-js";
import { assertEquals, assertStringIncludes } from "@std/assert";
import type {
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
} from "kubernetes-types/admissionregistration/v1";
import { ACCOUNT, type KubeObject, readObjects } from "./objects.ts";
import { typeFaults } from "./typed.ts";

const objects = await readObjects("node-policy.yml");
const [policy, ofEvents] = ofKind<ValidatingAdmissionPolicy>("ValidatingAdmissionPolicy");
const bindings = ofKind<ValidatingAdmissionPolicyBinding>("ValidatingAdmissionPolicyBinding");
const TYPES = {
  module: "kubernetes-types/admissionregistration/v1",
  /** The package leaves them out. */
  more: "interface NamedRuleWithOperations { resources?: string[]; scope?: string }",
};
const NODE_CLAIM = "authentication.kubernetes.io/node-name";

Deno.test("the node policy is of the API's types", async () => {
  assertEquals(
    await typeFaults(TYPES, objects),
    [],
  );
});

Deno.test("the type check sees a wrong word, a missing field and a wrong type", async () => {
  const [object] = objects as unknown as Record<string, unknown>[];
  const faults = await typeFaults(TYPES, [
    { ...object, spec: { ...policy.spec, failPolicy: "Fail" } },
    { ...object, spec: { ...policy.spec, validations: [{}] } },
    { ...object, metadata: { name: 1 } },
  ] as unknown as KubeObject[]);
  for (const [index, word] of ["failPolicy", "expression", "number"].entries()) {
    assertStringIncludes(faults[index] ?? "", word);
  }
});

Deno.test("the policies are bound, deny, and also where an expression fails", () => {
  assertEquals(
    bindings.map(({ spec }) => spec),
    [policy, ofEvents].map(({ metadata }) => ({ policyName: metadata.name, validationActions: ["Deny"] })),
  );
  assertEquals([policy, ofEvents].map(({ spec }) => spec!.failurePolicy), ["Fail", "Fail"]);
  assertEquals(ofEvents.spec!.matchConditions, policy.spec!.matchConditions);
  assertEquals<unknown>(policy.spec!.matchConstraints!.resourceRules, [
    { apiGroups: [""], apiVersions: ["v1"], operations: ["UPDATE"], resources: ["nodes", "nodes/status"] },
  ]);
});

function ofKind<T>(kind: string): [KubeObject & T, KubeObject & T] {
  const found = objects.filter((object) => object.kind === kind) as (KubeObject & T)[];
  assertEquals(found.length, 2);
  return [found[0]!, found[1]!];
}

/** What the policy says to a request: nothing where it agrees. */
function refusal(
  username: string,
  extra: Record<string, string[]> | undefined,
  node: string,
): string | undefined {
  const request = { name: node, userInfo: { username, ...extra && { extra } } };
  // What may change of a node, only a server can tell: node_policy_server_test.ts.
  const object = { metadata: { name: node }, spec: {}, status: {} };
  const spec = policy.spec!;
  if (!spec.matchConditions!.every(({ expression }) => evaluate(expression, { request }))) return undefined;
  const variables: Record<string, unknown> = {};
  for (const { name, expression } of spec.variables!) {
    variables[name] = evaluate(expression, { request, variables, object, oldObject: object });
  }
  const context = { request, variables, object, oldObject: object };
  const broken = spec.validations!.find(({ expression }) => !evaluate(expression, context));
  return broken === undefined ? undefined : evaluate(broken.messageExpression!, context) as string;
}

const OTHER = "system:serviceaccount:kube-system:other";
const cases: [
  name: string,
  username: string,
  extra: Record<string, string[]> | undefined,
  message: string | undefined,
][] = [
  ["lets an agent write to its node", ACCOUNT, { [NODE_CLAIM]: ["n1"] }, undefined],
  [
    "keeps an agent from another node",
    ACCOUNT,
    { [NODE_CLAIM]: ["n2"] },
    "the agent of node n2 may not write to node n1",
  ],
  [
    "keeps a token that names no node from all of them",
    ACCOUNT,
    { "authentication.kubernetes.io/pod-name": ["p"] },
    "the agent of node (the token names none) may not write to node n1",
  ],
  [
    "keeps a token that says nothing more from all of them",
    ACCOUNT,
    undefined,
    "the agent of node (the token names none) may not write to node n1",
  ],
  ["lets others do what their roles let them", OTHER, { [NODE_CLAIM]: ["n2"] }, undefined],
  ["lets a kubelet write to its node", "system:node:n1", undefined, undefined],
];

for (const [name, username, extra, message] of cases) {
  Deno.test(`the node policy ${name}`, () => {
    assertEquals(refusal(username, extra, "n1"), message);
  });
}
