import { array, boolean, type infer as Infer, nullish, object, string, unknown } from "zod/mini";
import type { RegistryError } from "../registry_error.ts";

// As Go reads it, null is absence.
const schema = object({
  "current-context": nullish(string()),
  clusters: nullish(array(object({
    name: string(),
    cluster: nullish(object({
      server: nullish(string()),
      "certificate-authority": nullish(string()),
      "certificate-authority-data": nullish(string()),
      "insecure-skip-tls-verify": nullish(boolean()),
      "tls-server-name": nullish(string()),
      "proxy-url": nullish(string()),
    })),
  }))),
  contexts: nullish(array(object({
    name: string(),
    context: object({ cluster: string(), user: nullish(string()) }),
  }))),
  users: nullish(array(object({
    name: string(),
    user: nullish(object({
      "client-certificate": nullish(string()),
      "client-certificate-data": nullish(string()),
      "client-key": nullish(string()),
      "client-key-data": nullish(string()),
      token: nullish(string()),
      tokenFile: nullish(string()),
      username: nullish(string()),
      as: nullish(string()),
      "as-uid": nullish(string()),
      "as-groups": nullish(array(unknown())),
      "as-user-extra": nullish(unknown()),
      exec: nullish(unknown()),
      "auth-provider": nullish(unknown()),
    })),
  }))),
});

/** What is read of a kubeconfig. */
export type Kubeconfig = Infer<typeof schema>;

/** @throws {RegistryError} If a value is not of a kubeconfig's form: one sentence. */
export function kubeconfigOf(value: unknown, refuse: (reason: string) => RegistryError): Kubeconfig {
  const { data, error } = schema.safeParse(value ?? {});
  if (error !== undefined) {
    const issue = error.issues[0]!;
    throw refuse(issue.path.length === 0 ? "it is no map of clusters, contexts and users" : formFault(issue));
  }
  refuseTwins(data, refuse);
  return data;
}

/** What each member of a kubeconfig must be, where it is something else. */
const FORMS: Readonly<Record<string, string>> = {
  string: 'text: put it in quotes, as "12345"',
  boolean: "true or false",
  array: "a list",
  object: "a map",
};

function formFault(issue: { readonly path: readonly PropertyKey[] }): string {
  const { expected } = issue as { readonly expected?: string };
  return `${issue.path.join(".")} must be ${FORMS[expected ?? ""] ?? "of another form"}`;
}

/** @throws {RegistryError} If one file has two of a name: who reads it can't know which is meant. */
function refuseTwins(
  { clusters, contexts, users }: Kubeconfig,
  refuse: (reason: string) => RegistryError,
): void {
  for (const [what, list] of Object.entries({ clusters, contexts, users })) {
    const names = (list ?? []).map(({ name }) => name);
    const twin = names.find((name, at) => names.indexOf(name) < at);
    if (twin !== undefined) throw refuse(`it has two ${what} of the name "${twin}"; leave one`);
  }
}
