import { assertEquals, assertThrows } from "@std/assert";
import { parseProxy, proxyFor, proxyHint } from "../../../src/registry/http/proxy.ts";

const P = "http://192.0.2.9:3128";

/** What Go's `http.ProxyFromEnvironment()` answers for each of these; `undefined` for none. */
const rows: [environment: Record<string, string>, url: string, proxy: string | undefined, why: string][] = [
  [{}, "https://192.0.2.1:6443", undefined, "none is named"],
  [{ HTTPS_PROXY: P }, "https://192.0.2.1:6443", P, "one is named"],
  [{ https_proxy: P }, "https://192.0.2.1:6443", P, "in small letters too"],
  [{ http_proxy: P }, "http://192.0.2.1:2379", P, "in small letters too"],
  [{ HTTPS_PROXY: "", https_proxy: P }, "https://192.0.2.1:6443", P, "an empty variable is none"],
  [{ HTTPS_PROXY: P }, "http://192.0.2.1:2379", undefined, "it is for https"],
  [{ HTTP_PROXY: P }, "https://192.0.2.1:6443", undefined, "it is for http"],
  [{ ALL_PROXY: P, all_proxy: P }, "https://192.0.2.1:6443", undefined, "Go knows no such variable"],
  [{ HTTPS_PROXY: "192.0.2.9:3128" }, "https://192.0.2.1:6443", P, "a scheme may be missing"],
  [{ HTTPS_PROXY: "proxy" }, "https://192.0.2.1:6443", "http://proxy", "and the port"],
  [
    { HTTPS_PROXY: "socks5://192.0.2.9:1080" },
    "https://192.0.2.1",
    "socks5://192.0.2.9:1080",
    "SOCKS will do",
  ],
  ...["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]", "LOCALHOST"].map((host) =>
    [{ HTTP_PROXY: P }, `http://${host}:2379`, undefined, "it is this machine"] as const
  ),
  [{ HTTP_PROXY: P }, "http://localhost.example:2379", P, "it is another machine"],
  ...([
    ["*", "http://etcd.example:2379", true, "a star is everything"],
    ["*", "http://192.0.2.1:2379", true, "a star is everything"],
    ["192.0.2.0/24", "http://192.0.2.1:2379", true, "a prefix"],
    ["192.0.2.0/24", "http://192.0.3.1:2379", false, "another prefix"],
    ["192.0.2.0/24", "http://etcd.example:2379", false, "a name is not looked up"],
    ["2001:db8::/32", "http://[2001:db8::1]:2379", true, "a prefix of IPv6"],
    ["192.0.2.1", "http://192.0.2.1:2379", true, "an address"],
    ["2001:db8::1", "http://[2001:db8:0::1]:2379", true, "an address of IPv6"],
    ["192.0.2.1:2379", "http://192.0.2.1:2379", true, "an address and its port"],
    ["192.0.2.1:2380", "http://192.0.2.1:2379", false, "another port"],
    ["192.0.2.1:80", "http://192.0.2.1", true, "the usual port"],
    ["[2001:db8::1]:2379", "http://[2001:db8::1]:2379", true, "an address of IPv6 and its port"],
    ["etcd.example", "http://etcd.example:2379", true, "a name"],
    ["ETCD.example", "http://etcd.EXAMPLE:2379", true, "a name in any case"],
    ["example", "http://etcd.example:2379", true, "what is below a name"],
    ["example", "http://anexample:2379", false, "what only ends like it"],
    [".example", "http://etcd.example:2379", true, "what is below"],
    [".example", "http://example:2379", false, "the name itself is not below"],
    ["*.example", "http://etcd.example:2379", true, "what is below"],
    ["*.example", "http://example:2379", false, "the name itself is not below"],
    ["example:2379", "http://etcd.example:2379", true, "a name and its port"],
    ["example:2380", "http://etcd.example:2379", false, "another port"],
    [" a , etcd.example ,", "http://etcd.example:2379", true, "blanks do not matter"],
    ["", "http://etcd.example:2379", false, "nothing is listed"],
    [".svc,.cluster.local,10.96.0.0/12", "http://10.96.0.1:443", true, "as clusters have it"],
  ] as const).flatMap(([list, url, isDirect, why]) =>
    ["NO_PROXY", "no_proxy"].map((name) =>
      [{ HTTP_PROXY: P, [name]: list }, url, isDirect ? undefined : P, why] as const
    )
  ),
].map((row) => [...row]) as never;

for (const [environment, url, proxy, why] of rows) {
  const how = proxy === undefined ? "itself" : `through ${proxy}`;
  Deno.test(`proxyFor() has ${url} asked ${how} with ${JSON.stringify(environment)}: ${why}`, () => {
    assertEquals(proxyFor(url, { get: (name) => environment[name] })?.url, proxy);
  });
}

Deno.test("parseProxy() reads a user and a password, which are not in the URL that is shown", () => {
  assertEquals(parseProxy("http://user:p%40ss:word@proxy:3128/path", "X"), {
    url: "http://proxy:3128",
    basicAuth: { username: "user", password: "p@ss:word" },
    from: "X",
  });
});

for (const text of ["ftp://user:hunter2@proxy:1", "http://", "http://user:hunter2@", "a b"]) {
  Deno.test(`parseProxy() refuses ${text}, without the password`, () => {
    const error = assertThrows(() => parseProxy(text, "HTTPS_PROXY"), SyntaxError);
    assertEquals(
      error.message.startsWith("HTTPS_PROXY must be a proxy's URL as http://192.0.2.1:3128, is "),
      true,
    );
    assertEquals(error.message.includes("hunter2"), false);
  });
}

Deno.test("proxyHint() names the proxy and where it is named", () => {
  assertEquals(proxyHint(undefined), "");
  assertEquals(
    proxyHint(parseProxy("http://u:hunter2@p:1", "HTTPS_PROXY")),
    "; it is asked through the proxy http://p:1 (HTTPS_PROXY), which may be what fails; NO_PROXY can name what is asked " +
      "without it",
  );
  assertEquals(
    proxyHint(parseProxy("p:1", "proxy-url of the kubeconfig")),
    "; it is asked through the proxy http://p:1 (proxy-url of the kubeconfig), which may be what fails",
  );
});

/** What a process says that asks servers with proxies in its environment; `PROXY` is one for all of them. */
const CHILD = `
  import { leaveLoopbackOut } from "${new URL(
  "../../../src/registry/http/proxy_variables.ts",
  import.meta.url,
)}";
  import { parseProxy } from "${new URL("../../../src/registry/http/proxy.ts", import.meta.url)}";
  import { EtcdClient } from "${new URL("../../../src/registry/etcd/etcd_client.ts", import.meta.url)}";
  import { HttpDoor } from "${new URL("../../../src/registry/http/http_door.ts", import.meta.url)}";
  leaveLoopbackOut(Deno.env);
  const named = Deno.env.get("PROXY");
  const proxy = named && parseProxy(named, "proxy-url of the kubeconfig");
  using door = new HttpDoor({ readTextFile: Deno.readTextFile }, {}, proxy && (() => proxy));
  for (const url of Deno.args) {
    try {
      if (url.startsWith("etcd ")) {
        using etcd = new EtcdClient({ endpoints: [url.slice(5)], tls: {} }, { readTextFile: Deno.readTextFile });
        await etcd.range("k", { signal: new AbortController().signal });
      }
      const response = await door.fetch(url, { signal: new AbortController().signal });
      console.log(await response.text());
    } catch (error) {
      console.log(error.message);
    }
  }
  console.log(Deno.env.get("NO_PROXY"));
`;

const CONFIG = new URL("../../../deno.json", import.meta.url).pathname;
const NONE = Object.fromEntries(
  ["NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].flatMap((
    name,
  ) => [[name, ""], [name.toLowerCase(), ""]]),
);

async function say(urls: string[], env: Record<string, string>): Promise<string[]> {
  const script = await Deno.makeTempFile({ prefix: "lodentest-proxy-", suffix: ".js" });
  try {
    await Deno.writeTextFile(script, CHILD);
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--no-lock", `--config=${CONFIG}`, script, ...urls],
      env: { ...NONE, ...env },
    }).output();
    const said = new TextDecoder().decode(stdout).trimEnd().split("\n");
    if (said.length !== urls.length + 1) throw new Error(new TextDecoder().decode(stderr));
    return said;
  } finally {
    await Deno.remove(script);
  }
}

Deno.test("servers are asked through the proxy that Go would take, each by itself, and a proxy that fails is named", async () => {
  const serve = (answer: (request: Request) => string) =>
    Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => new Response(answer(request)),
    );
  await using me = serve(() => "me");
  await using proxy = serve(({ url, headers }) => `proxied ${url} ${headers.get("proxy-authorization")}`);
  const own = `http://127.0.0.1:${me.addr.port}/`;
  const through = `http://u:p%40@127.0.0.1:${proxy.addr.port}`;
  const basic = `Basic ${btoa("u:p@")}`;
  const rest = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fd00:ec2::254";
  const other = "http://etcd-2.example:2379/";
  assertEquals(await say([own, other, own], { HTTP_PROXY: through }), [
    "me",
    `proxied ${other} ${basic}`,
    "me",
    rest,
  ]);
  // It is direct by its port, which only Go's rules have; and so is no address of its own.
  assertEquals(
    (await say(["http://0.0.0.0:1/"], { HTTP_PROXY: through, NO_PROXY: "0.0.0.0:1" }))[0]!.includes(
      "refused",
    ),
    true,
  );
  // Go knows no variable for all.
  const [unknown] = await say([other], { ALL_PROXY: through });
  assertEquals(unknown!.includes("proxied"), false, unknown);
  // A kubeconfig's is for all servers, whatever the variables say.
  assertEquals(await say([own, other], { PROXY: through, HTTP_PROXY: "http://127.0.0.1:1", NO_PROXY: "*" }), [
    `proxied ${own} ${basic}`,
    `proxied ${other} ${basic}`,
    `*,${rest}`,
  ]);
  assertEquals(await say([other], { HTTP_PROXY: "u:hunter2@127.0.0.1:1" }), [
    "etcd-2.example:2379 does not answer: Connection refused; it is asked through the proxy http://127.0.0.1:1 " +
    "(HTTP_PROXY), which may be what fails; NO_PROXY can name what is asked without it",
    rest,
  ]);
  assertEquals(await say([other, own], { HTTP_PROXY: "ftp://u:hunter2@p:1" }), [
    'etcd-2.example:2379 is not asked: HTTP_PROXY must be a proxy\'s URL as http://192.0.2.1:3128, is "ftp://p:1"',
    "me",
    rest,
  ]);
  // etcd's own client, and so flannel, takes the proxy of https for all.
  const [by, without] = await Promise.all([
    say([`etcd ${other}`], { HTTPS_PROXY: "http://127.0.0.1:1", HTTP_PROXY: through }),
    say([`etcd ${other}`], { HTTP_PROXY: through }),
  ]);
  assertEquals(by[0]!.includes("through the proxy http://127.0.0.1:1 (HTTPS_PROXY)"), true, by[0]);
  assertEquals(without[0]!.includes("proxy"), false, without[0]);
});

Deno.test("a proxy that makes tunnels alone is named where it refuses to ask etcd", async () => {
  await using refusing = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => new Response("CONNECT only", { status: 405 }),
  );
  const url = `http://127.0.0.1:${refusing.addr.port}`;
  const [line] = await say(["etcd http://etcd.example:2379"], { HTTPS_PROXY: url });
  assertEquals(
    line,
    `HTTP status 405 CONNECT only; it is asked through the proxy ${url} (HTTPS_PROXY), which may be what fails; ` +
      "NO_PROXY can name what is asked without it",
  );
});
