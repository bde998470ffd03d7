import { assertEquals, assertRejects } from "@std/assert";
import { ConnectionError } from "../../src/registry/http/connection_error.ts";
import { connectionReason } from "../../src/log/connection_reason.ts";
import { HttpDoor } from "../../src/registry/http/http_door.ts";
import { openssl } from "../double/certificates.ts";
import { OddCertificates } from "../double/odd_certificates.ts";
import { freePort, ServerProcess } from "../double/server_process.ts";

const signal = new AbortController().signal;
/** What a library prints of its values, and a person does not read. */
const JARGON = /[a-z]\(|[{}]|::|os error|UNIX|[a-z][A-Z]/;
const WANTED = "it wants a certificate of this host's that it knows; name one, and its key";
const UNTRUSTED = "its certificate comes from an authority that is not trusted; name the right one's file";
const NO_TLS = "it does not speak TLS there; write http:// or another port";
const GUESS = "; perhaps it wants a certificate of this host's that it knows: name one, and its key";

let odd: OddCertificates;
Deno.test.beforeAll(async () => {
  odd = await OddCertificates.open();
  const issue = async (
    name: string,
    extensions: string,
    options: readonly string[] = [],
    key = "p256.key",
  ) => {
    await odd.write(`${name}.ext`, extensions);
    await odd.issue(name, key, ["-extfile", odd.path(`${name}.ext`), ...options]);
  };
  const names = "subjectAltName=DNS:localhost,IP:127.0.0.1\n";
  await issue("named", "subjectAltName=DNS:a.example,IP:192.0.2.1\n");
  await issue("nameless", "extendedKeyUsage=serverAuth\n");
  await issue("client", `${names}extendedKeyUsage=clientAuth\n`);
  await issue("over", names, ["-days", "-1"]);
  await issue("sha1", names, ["-sha1"]);
  for (const [name, constraint] of [["self", "CA:TRUE"], ["own", "CA:FALSE"]]) {
    await openssl(
      ...["req", "-x509", "-key", odd.path("p256.key"), "-days", "2", "-subj", "/CN=localhost"],
      ...["-addext", names.trim(), "-addext", `basicConstraints=critical,${constraint}`],
      ...["-out", odd.path(`${name}.crt`)],
    );
  }
});
Deno.test.afterAll(async () => {
  await odd[Symbol.asyncDispose]();
});

/** Starts openssl's server, which answers each request, and returns its URL. */
async function serve(stack: AsyncDisposableStack, args: readonly string[]): Promise<string> {
  const port = freePort();
  const command = ["openssl", "s_server", "-accept", `127.0.0.1:${port}`, "-www", "-quiet", ...args];
  const server = stack.use(
    new ServerProcess(command, odd.path("log"), async () => {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return true;
    }),
  );
  await server.start();
  return `https://127.0.0.1:${port}/`;
}

/** Starts a server that says something, at once or when it is asked, and closes the connection. */
function speak(stack: AsyncDisposableStack, text: string, when: "at once" | "asked"): string {
  const listener = stack.adopt(Deno.listen({ hostname: "127.0.0.1", port: 0 }), (one) => one.close());
  const answer = async (connection: Deno.Conn) => {
    try {
      if (when === "asked") await connection.read(new Uint8Array(4096));
      if (text !== "") await connection.write(new TextEncoder().encode(text));
      await connection.closeWrite();
      // What else it says is read, so that nothing is reset.
      while (await connection.read(new Uint8Array(4096)) !== null);
    } catch {
      // The other side has gone.
    } finally {
      connection.close();
    }
  };
  (async () => {
    for await (const connection of listener) answer(connection);
  })().catch(() => {});
  return `127.0.0.1:${listener.addr.port}/`;
}

/** What a host is told that asks there; `undefined` if it is answered. */
async function told(url: string, files: readonly (string | undefined)[] = []): Promise<string | undefined> {
  const [ca, cert, key] = files.map((name) => name && odd.path(name));
  using door = new HttpDoor({ readTextFile: (path) => Deno.readTextFile(path) }, {
    files: { ...ca && { caFile: ca }, ...cert && { certFile: cert }, ...key && { keyFile: key } },
  });
  try {
    const response = await door.fetch(url, { signal });
    await response.body?.cancel();
    return undefined;
  } catch (error) {
    const { message } = await assertRejects(() => Promise.reject(error), ConnectionError);
    assertEquals(message.slice(0, message.indexOf(": ")), `${new URL(url).host} does not answer`);
    return message.slice(message.indexOf(": ") + 2);
  }
}

const KEY = ["-key", "p256.key"];
const OLD = ["-cipher", "ALL:@SECLEVEL=0"];
const ASKS = ["-cert", "p256.crt", ...KEY, "-Verify", "1", "-verify_return_error", "-CAfile", "ca.crt"];

/** What openssl's server is started with, what a host asks with, and what it is told. */
const servers: readonly [
  name: string,
  args: readonly string[],
  files: readonly (string | undefined)[],
  reason: string | undefined,
][] = [
  ["in order", ["-cert", "p256.crt", ...KEY], ["ca.crt"], undefined],
  ["its own authority, and CA:FALSE", ["-cert", "own.crt", ...KEY], ["own.crt"], undefined],
  [
    "its own authority, and CA:TRUE",
    ["-cert", "self.crt", ...KEY],
    ["self.crt"],
    'its certificate is an authority\'s (CA:TRUE), as "openssl req -x509" makes them; issue it with -addext ' +
    "basicConstraints=critical,CA:FALSE (docs/certificates.md)",
  ],
  ["of an unknown authority", ["-cert", "p256.crt", ...KEY], ["own.crt"], UNTRUSTED],
  ["of an unknown authority, and none named", ["-cert", "p256.crt", ...KEY], [], UNTRUSTED],
  [
    "for other names",
    ["-cert", "named.crt", ...KEY],
    ["ca.crt"],
    "its certificate is for another name or address (a.example, 192.0.2.1), not for 127.0.0.1; ask it by one of these, " +
    "or issue it with that one as subjectAltName",
  ],
  [
    "without a name",
    ["-cert", "nameless.crt", ...KEY],
    ["ca.crt"],
    "its certificate has no name or address as subjectAltName; issue it anew with 127.0.0.1",
  ],
  [
    "of version 1",
    ["-cert", "v1.crt", ...KEY],
    ["ca.crt"],
    "its certificate is of X.509 version 1; issue it anew with a subjectAltName (docs/certificates.md)",
  ],
  [
    "that is too old",
    ["-cert", "over.crt", ...KEY],
    ["ca.crt"],
    "its certificate has expired, or this host's clock is wrong",
  ],
  [
    "for clients alone",
    ["-cert", "client.crt", ...KEY],
    ["ca.crt"],
    "its certificate is not for servers; issue it anew with extendedKeyUsage=serverAuth",
  ],
  [
    "signed with SHA-1",
    ["-cert", "sha1.crt", ...KEY, ...OLD],
    ["ca.crt"],
    "its certificate is signed in a way that is too old, as SHA-1 is; issue it anew",
  ],
  [
    "of RSA with 1024 bits",
    ["-cert", "rsa1024.crt", "-key", "rsa1024.key", ...OLD],
    ["ca.crt"],
    `${UNTRUSTED}, or give it a key that is RSA of 2048 bits or more, P-256 or P-384`,
  ],
  [
    "of a curve that is not known here",
    ["-cert", "secp256k1.crt", "-key", "secp256k1.key", ...OLD],
    ["ca.crt"],
    `${WANTED}; or its own key or ciphers are not taken here, as RSA of 1024 bits is not`,
  ],
  [
    "that speaks TLS 1.1 alone",
    ["-cert", "p256.crt", ...KEY, "-tls1_1", ...OLD],
    ["ca.crt"],
    "it speaks no TLS of version 1.2 or 1.3; allow one of them there",
  ],
  ["that asks for a certificate, and gets none", ASKS, ["ca.crt"], WANTED],
  [
    "that asks for a certificate by TLS 1.2, and gets none",
    [...ASKS, "-tls1_2"],
    ["ca.crt"],
    `${WANTED}; or its own key or ciphers are not taken here, as RSA of 1024 bits is not`,
  ],
  [
    "that does not know this host's authority",
    ASKS,
    ["ca.crt", "own.crt", "p256.key"],
    "it does not know the authority of this host's certificate; issue one that it takes, and put it and its key there",
  ],
  [
    "that this host's certificate is too old for",
    ASKS,
    ["ca.crt", "over.crt", "p256.key"],
    "it says that this host's certificate has expired; issue one that it takes, and put it and its key there",
  ],
];

for (const [name, args, files, reason] of servers) {
  Deno.test(`a server ${name}: ${reason ?? "answers"}`, async () => {
    await using stack = new AsyncDisposableStack();
    const url = await serve(stack, args.map((one) => /\.(crt|key)$/.test(one) ? odd.path(one) : one));
    const said = await told(url, files);
    assertEquals(said, reason);
    assertEquals(JARGON.exec(said?.replaceAll(/subjectAltName|\w+=\S+/g, "") ?? ""), null);
  });
}

/** What a server says, when, and what a host is told of it by HTTP and by HTTPS. */
const speakers: readonly [
  name: string,
  text: string,
  when: "at once" | "asked",
  http: string | undefined,
  https: string,
][] = [
  [
    "of another protocol",
    "SSH-2.0-x\r\n",
    "at once",
    "it does not speak HTTP there; look at the port",
    NO_TLS,
  ],
  [
    "that closes each connection",
    "",
    "asked",
    "it closed the connection without an answer; perhaps it speaks TLS there: write https://",
    `it closed the connection in the middle of the TLS handshake; look at the port, and at its log${GUESS}`,
  ],
  [
    "that answers as Go's do by TLS",
    "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
    "asked",
    undefined,
    NO_TLS,
  ],
  [
    "that sends hosts elsewhere",
    "HTTP/1.1 302 Found\r\nlocation: https://secret.example/?token=x\r\ncontent-length: 0\r\n\r\n",
    "asked",
    "it sends this host to another place, which is not followed; name the right place",
    NO_TLS,
  ],
  [
    "with a head that is too large",
    `HTTP/1.1 200 OK\r\nx: ${"a".repeat(2 ** 20)}\r\n\r\n`,
    "asked",
    "the head of its answer is too large; is it the right server?",
    NO_TLS,
  ],
  [
    "that counts in words",
    "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
    "asked",
    "it does not speak HTTP there; look at the port",
    NO_TLS,
  ],
];

for (const [name, text, when, http, https] of speakers) {
  Deno.test(`a server ${name}: ${http ?? "answers"} (HTTP), ${https} (HTTPS)`, async () => {
    await using stack = new AsyncDisposableStack();
    const place = speak(stack, text, when);
    assertEquals(await told(`http://${place}`), http);
    assertEquals(await told(`https://${place}`), https);
  });
}

Deno.test("a port that nobody listens at, and a name that nobody has", async () => {
  const port = freePort();
  assertEquals(await told(`http://127.0.0.1:${port}/`), "Connection refused");
  assertEquals(await told(`https://127.0.0.1:${port}/`), "Connection refused");
  // Whether name servers answer differs from machine to machine.
  const said = await told("http://no-such-host.invalid:1234/");
  assertEquals(
    /^its name (?:is not known to|can't be looked up, as) the name servers/.test(said!),
    true,
    said,
  );
});

Deno.test("connectionReason() leaves this program's own sentences as they are", () => {
  const cause = new TypeError("invalid peer certificate: BadEncoding");
  const sentence = "the file /x can't be read: there is no such file";
  assertEquals(connectionReason(new Error(sentence, { cause })), sentence);
});

/** What `fetch` of Deno 2.7.11 says where a test would need another machine, and what a host is told. */
const texts: readonly [text: string, reason: string][] = [
  ["(Connect): tcp connect error: No route to host (os error 113)", "No route to host"],
  ["(Connect): tcp connect error: Network is unreachable (os error 101)", "Network is unreachable"],
  ["(SendRequest): connection error: Connection reset by peer (os error 104)", "Connection reset by peer"],
  ["(Connect): tcp connect error: Connection timed out (os error 110)", "Connection timed out"],
  [
    "(Connect): tcp connect error: Permission denied (os error 13)",
    "a route or rule of this host prohibits what is sent there",
  ],
  [
    "(Connect): tcp connect error: Invalid argument (os error 22)",
    "a route of this host drops what is sent there (blackhole)",
  ],
  [
    "(Connect): dns error: failed to lookup address information: Temporary failure in name resolution",
    "its name can't be looked up, as the name servers don't answer",
  ],
  [
    "(Connect): unsuccessful tunnel",
    "the proxy does not let this host through",
  ],
  [
    "(Connect): proxy authentication required",
    "the proxy wants a user and a password, as http://USER:PASSWORD@PROXY",
  ],
  [
    "(Connect): invalid peer certificate: certificate expired: verification time 1796033686 (UNIX), but certificate is " +
    "not valid after 1580515200 (215518486 seconds ago)",
    "its certificate has expired (2020-02-01), or this host's clock is wrong",
  ],
  [
    "(Connect): invalid peer certificate: certificate not valid yet: verification time 1796033687 (UNIX), but " +
    "certificate is not valid before 2208988800 (412955113 seconds in future)",
    "its certificate is not valid yet (2040-01-01), or this host's clock is wrong",
  ],
  [
    "(Connect): invalid peer certificate: Other(OtherError(NameConstraintViolation))",
    "its certificate can't be used (name constraint violation); issue it anew",
  ],
  [
    "(Connect): received fatal alert: InternalError",
    'it ended the TLS handshake with the alert "internal error"',
  ],
  ["(Connect): Whatever(Thing { a: 1 })", "the connection failed (whatever thing a 1)"],
];

for (const [text, reason] of texts) {
  Deno.test(`connectionReason() reads ${text} as: ${reason}`, () => {
    const whole = `error sending request for url (https://expired.redirect.example:1/): client error ${text}`;
    assertEquals(connectionReason(new TypeError(whole)), reason);
  });
}
