import { parseAnyAddress, parseAnyPrefix } from "../../config/address_text.ts";
import { shownUrl } from "../../log/shown_url.ts";
import { type Address, familyOf, prefixContains } from "../../model/address.ts";

/** What a server is asked through. */
export interface Proxy {
  /** `http://192.0.2.1:3128`, without a user. */
  readonly url: string;
  readonly basicAuth?: { readonly username: string; readonly password: string };
  /** Where it is named, as a person looks for it: `HTTPS_PROXY`. */
  readonly from: string;
}

/** Variables of a process. */
type Environment = Pick<typeof Deno.env, "get">;

/** As Go's `http.ProxyFromEnvironment()` reads them: the first that is not empty. */
const VARIABLES: Readonly<Record<string, readonly string[]>> = {
  "http:": ["HTTP_PROXY", "http_proxy"],
  "https:": ["HTTPS_PROXY", "https_proxy"],
};
const SCHEMES: ReadonlySet<string> = new Set(["http:", "https:", "socks5:", "socks5h:"]);
const PORTS: Readonly<Record<string, string>> = { "http:": "80", "https:": "443" };
/** What a machine calls itself: a proxy's loopback is another one. */
const LOOPBACK = ["127.0.0.0/8", "::1/128"].map(parseAnyPrefix);

/**
 * The proxy that a server is to be asked through by the variables of a process; `undefined` where it is asked itself.
 * `localhost` and the loopback addresses always are.
 *
 * @param scheme Whose variables count; the URL's if absent.
 * @throws {SyntaxError} If a variable names none that can be used.
 */
export function proxyFor(
  url: string,
  environment: Environment,
  scheme: "https:" | undefined = undefined,
): Proxy | undefined {
  const { protocol, hostname, port } = new URL(url);
  const from = VARIABLES[scheme ?? protocol]?.find((name) => environment.get(name));
  if (from === undefined) return undefined;
  const host = hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  const list = ["NO_PROXY", "no_proxy"].map((name) => environment.get(name)).find((list) => list) ?? "";
  if (isDirect(host, port || PORTS[protocol]!, list)) return undefined;
  return parseProxy(environment.get(from)!, from);
}

/**
 * Reads a proxy's URL; without a scheme it is one of http.
 *
 * @param from Where it is named.
 * @throws {SyntaxError} If it is none that can be used. A password is not repeated.
 */
export function parseProxy(text: string, from: string): Proxy {
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.canParse(whole) ? new URL(whole) : undefined;
  if (url === undefined || !SCHEMES.has(url.protocol) || url.host === "") {
    const is = JSON.stringify(shownUrl(text));
    throw new SyntaxError(`${from} must be a proxy's URL as http://192.0.2.1:3128, is ${is}`);
  }
  const [username, password] = [url.username, url.password].map(decoded) as [string, string];
  return {
    url: `${url.protocol}//${url.host}`,
    ...username !== "" && { basicAuth: { username, password } },
    from,
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * The proxy of an etcd: etcd's own client, which flannel uses, asks through that of `HTTPS_PROXY` also where it speaks no
 * TLS, and knows no `HTTP_PROXY`.
 *
 * @throws {SyntaxError} If a variable names none that can be used.
 */
export function etcdProxyFor(url: string): Proxy | undefined {
  return proxyFor(url, Deno.env, "https:");
}

/** Reports whether a server is asked without a proxy. Source: golang.org/x/net/http/httpproxy. */
function isDirect(host: string, port: string, list: string): boolean {
  const address = addressOf(host);
  if (host === "localhost") return true;
  if (address !== undefined && LOOPBACK.some((prefix) => contains(prefix, address))) return true;
  return list.split(",").map((item) => item.trim().toLowerCase()).some((item) =>
    item === "*" || item !== "" && isListed({ host, port, address }, item)
  );
}

interface Asked {
  readonly host: string;
  readonly port: string;
  readonly address: Address | undefined;
}

/** Reports whether one item of the list names a server: an address, a prefix or a domain, perhaps with a port. */
function isListed({ host, port, address }: Asked, item: string): boolean {
  const prefix = prefixOf(item);
  if (prefix !== undefined) return address !== undefined && contains(prefix, address);
  const [, bracketed, bare, ofPort] = /^(?:\[([^\]]*)\]|([^:]*)):(\w*)$/.exec(item) ?? [];
  const name = bracketed ?? bare ?? item;
  if (name === "" || ofPort !== undefined && ofPort !== "" && ofPort !== port) return false;
  const listed = addressOf(name);
  if (listed !== undefined) return listed === address;
  // `example.com` is itself and all below it, `.example.com` and `*.example.com` only what is below.
  const suffix = name.replace(/^\*\./, ".");
  return suffix.startsWith(".") ? host.endsWith(suffix) : host === suffix || host.endsWith(`.${suffix}`);
}

function addressOf(text: string): Address | undefined {
  try {
    return parseAnyAddress(text);
  } catch {
    return undefined;
  }
}

function prefixOf(text: string): ReturnType<typeof parseAnyPrefix> | undefined {
  try {
    return parseAnyPrefix(text);
  } catch {
    return undefined;
  }
}

function contains(prefix: ReturnType<typeof parseAnyPrefix>, address: Address): boolean {
  return familyOf(prefix.address) === familyOf(address) && prefixContains(prefix, address);
}

/** What the runtime finds a proxy by. */
const READ = [...Object.values(VARIABLES).flat(), "ALL_PROXY", "all_proxy"];
/** Every server there is, as the runtime reads NO_PROXY. */
const ALL = "*,0.0.0.0/0,::/0";

/**
 * Makes a client of `fetch` that asks through this proxy, or through none. The variables of the process count for nothing:
 * the runtime reads NO_PROXY while a client is made, in its own way, and then no more.
 */
export function openClient(
  options: Omit<Deno.CreateHttpClientOptions, "proxy"> & Partial<Deno.TlsCertifiedKeyPem>,
  proxy: Proxy | undefined,
  environment: Pick<typeof Deno.env, "get" | "set" | "delete"> = Deno.env,
): Deno.HttpClient {
  if (proxy === undefined && !READ.some((name) => environment.get(name))) {
    return Deno.createHttpClient(options);
  }
  const before = environment.get("NO_PROXY");
  environment.set("NO_PROXY", proxy === undefined ? ALL : "");
  try {
    if (proxy === undefined) return Deno.createHttpClient(options);
    const { url, basicAuth } = proxy;
    return Deno.createHttpClient({ ...options, proxy: { url, ...basicAuth && { basicAuth } } });
  } finally {
    if (before === undefined) environment.delete("NO_PROXY");
    else environment.set("NO_PROXY", before);
  }
}

/** That a server is asked through a proxy, which may be the one that fails; empty where it is not. */
export function proxyHint(proxy: Proxy | undefined): string {
  if (proxy === undefined) return "";
  const wayOut = proxy.from.endsWith("_PROXY") || proxy.from.endsWith("_proxy")
    ? `; NO_PROXY can name what is asked without it`
    : "";
  return `; it is asked through the proxy ${proxy.url} (${proxy.from}), which may be what fails${wayOut}`;
}
