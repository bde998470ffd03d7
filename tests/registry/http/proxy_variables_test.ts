import { assertEquals } from "@std/assert";
import { leaveLoopbackOut, proxyHint } from "../../../src/registry/http/proxy_variables.ts";

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

const LOOPBACK = "localhost,127.0.0.0/8,::1";

const rows: readonly [before: Record<string, string>, list: string | undefined, why: string][] = [
  [{}, undefined, "without a proxy nothing is changed"],
  [{ NO_PROXY: "a.example" }, "a.example", "also where some are left out of none"],
  [{ HTTP_PROXY: "http://p:1" }, LOOPBACK, "a proxy of http"],
  [
    { https_proxy: "http://p:1", NO_PROXY: "a.example" },
    `a.example,${LOOPBACK}`,
    "what is left out stays left out",
  ],
  [{ all_proxy: "http://p:1", no_proxy: "a.example" }, `a.example,${LOOPBACK}`, "in small letters too"],
];

for (const [before, list, why] of rows) {
  Deno.test(`leaveLoopbackOut() makes ${list} of ${JSON.stringify(before)}: ${why}`, () => {
    const variables = new Variables({ ...before });
    leaveLoopbackOut(variables);
    assertEquals(variables.get("NO_PROXY"), list);
    if (list !== before.NO_PROXY) assertEquals(variables.get("no_proxy"), list);
  });
}

Deno.test("proxyHint() names the variable that may lead elsewhere, and never for the loopback", () => {
  const variables = new Variables({ HTTPS_PROXY: "http://user:password@p:1" });
  const hint =
    "; unless NO_PROXY names it, it is asked through the proxy of HTTPS_PROXY, which may be what fails";
  assertEquals(proxyHint("https://192.0.2.1:6443/api", variables), hint);
  for (
    const url of ["http://192.0.2.1/", "https://127.0.0.1/", "https://[::1]:2379/", "https://localhost/"]
  ) {
    assertEquals(proxyHint(url, variables), "");
  }
});

/** What a process says that asks a server of this machine, with a proxy that does not answer in its environment. */
const CHILD = `
  import { leaveLoopbackOut } from "${new URL(
  "../../../src/registry/http/proxy_variables.ts",
  import.meta.url,
)}";
  import { HttpDoor } from "${new URL("../../../src/registry/http/http_door.ts", import.meta.url)}";
  leaveLoopbackOut(Deno.env);
  using door = new HttpDoor({ readTextFile: Deno.readTextFile }, {});
  for (const url of Deno.args) {
    try {
      const response = await door.fetch(url, { signal: new AbortController().signal });
      console.log(await response.text());
    } catch (error) {
      console.log(error.message);
    }
  }
`;

Deno.test("a server of this machine is asked itself, whatever the proxy, and a proxy that fails is named", async () => {
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => new Response("me"),
  );
  const script = await Deno.makeTempFile({ suffix: ".js" });
  try {
    await Deno.writeTextFile(script, CHILD);
    const url = `http://127.0.0.1:${server.addr.port}/`;
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--no-lock", script, url, "http://registry.example:2379/"],
      env: { HTTP_PROXY: "http://127.0.0.1:1", http_proxy: "http://127.0.0.1:1", NO_PROXY: "", no_proxy: "" },
    }).output();
    assertEquals(
      new TextDecoder().decode(stdout),
      "me\nregistry.example:2379 does not answer: Connection refused; unless NO_PROXY names it, it is asked through the " +
        "proxy of HTTP_PROXY, which may be what fails\n",
      new TextDecoder().decode(stderr),
    );
  } finally {
    await Deno.remove(script);
  }
});
