import { assertEquals } from "@std/assert";
import { leaveLoopbackOut } from "../../../src/registry/http/proxy_variables.ts";

/** Variables of a process that is not this one. */
class Variables {
  constructor(readonly all: Record<string, string>) {}

  get(name: string): string | undefined {
    return this.all[name];
  }

  set(name: string, value: string): void {
    this.all[name] = value;
  }
}

const OWN = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fd00:ec2::254";

const rows: readonly [before: Record<string, string>, list: string | undefined, why: string][] = [
  [{}, undefined, "without a proxy nothing is changed"],
  [{ NO_PROXY: "a.example" }, "a.example", "also where some are left out of none"],
  [{ HTTP_PROXY: "http://p:1" }, OWN, "a proxy of http"],
  [
    { https_proxy: "http://p:1", NO_PROXY: "a.example" },
    `a.example,${OWN}`,
    "what is left out stays left out",
  ],
  [{ all_proxy: "http://p:1", no_proxy: "a.example" }, `a.example,${OWN}`, "in small letters too"],
];

for (const [before, list, why] of rows) {
  Deno.test(`leaveLoopbackOut() makes ${list} of ${JSON.stringify(before)}: ${why}`, () => {
    const variables = new Variables({ ...before });
    leaveLoopbackOut(variables);
    assertEquals(variables.get("NO_PROXY"), list);
    if (list !== before.NO_PROXY) assertEquals(variables.get("no_proxy"), list);
  });
}
