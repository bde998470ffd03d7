import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { Secrets } from "../../src/log/secrets.ts";

const TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW06bG9kZW4ifQ.kV9_x-Zq3Lw81TtPzR0oJhA2bYcQmN5sDf7uWgEi";
const PASSWORD = 'c0rrect "horse" <&> bättery/stäple\\';
const base64 = (text: string) => new TextEncoder().encode(text).toBase64();
const folded = (text: string, length: number, by: string) =>
  text.match(new RegExp(`[^]{1,${length}}`, "g"))!.join(by);

/** How a server may repeat what it was asked with. */
const ECHOES: readonly (readonly [name: string, echo: (secret: string) => string])[] = [
  ["as it is", (secret) => secret],
  ["in JSON", (secret) => JSON.stringify({ message: `no such token ${secret}` })],
  ["in JSON in JSON", (secret) => JSON.stringify({ message: JSON.stringify({ token: secret }) })],
  [
    "in JSON with each sign as its number",
    (secret) => [...secret].map((sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
  ],
  ["in a URL", (secret) => `/login?token=${encodeURIComponent(secret)}&x=1`],
  ["in a form", (secret) => String(new URLSearchParams({ token: secret }))],
  [
    "in HTML",
    (secret) =>
      secret.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(
        '"',
        "&#34;",
      ),
  ],
  ["in base64", (secret) => base64(secret)],
  ["in base64 behind a word", (secret) => base64(`Bearer ${secret}`)],
  ["in base64 behind a sign", (secret) => base64(`:${secret}:`)],
  ["in base64 in two places", (secret) => base64(`ab${secret}`)],
  [
    "in base64 for URLs",
    (secret) => base64(secret).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", ""),
  ],
  ["in hexadecimal", (secret) => new TextEncoder().encode(secret).toHex().toUpperCase()],
  ["folded into lines", (secret) => folded(secret, 20, "\n")],
  ["folded in base64", (secret) => folded(base64(secret), 16, "\\n")],
  ["in quotes, piece by piece", (secret) => folded(secret, 3, '", "')],
  ["cut", (secret) => secret.slice(0, 20)],
  ["without its start", (secret) => secret.slice(-20)],
  ["in capitals", (secret) => secret.toUpperCase()],
];

for (const [name, echo] of ECHOES) {
  Deno.test(`Secrets.hide() leaves nothing of a token or password that is repeated ${name}`, () => {
    for (const secret of [TOKEN, PASSWORD]) {
      const secrets = new Secrets();
      secrets.keep(secret);
      const hidden = secrets.hide(`the server says: ${echo(secret)} is not known`);
      assertStringIncludes(hidden, "the server says: ");
      assertStringIncludes(hidden, "[secret]");
      const written = echo(secret).replaceAll(/the|no such|token|login|message|x=1|QmVhcmVyI.|&#?\w+;/g, "");
      for (let at = 0; at + 10 <= written.length; at++) {
        assert(!hidden.includes(written.slice(at, at + 10)), `${hidden} has ${written.slice(at, at + 10)}`);
      }
    }
  });
}

Deno.test("Secrets.hide() leaves what is no secret as it is", () => {
  const secrets = new Secrets();
  for (const secret of [TOKEN, PASSWORD, "etcd", "", "abc", undefined]) secrets.keep(secret);
  for (
    const text of [
      "",
      'nodes "n1" is forbidden: User "system:serviceaccount:kube-flannel:flannel" cannot list resource "nodes"',
      "etcdserver: mvcc: required revision has been compacted",
      "größe – 网络 🌐 %41 \\u0041 &amp; \u202e",
      "a".repeat(1000),
    ]
  ) assertEquals(secrets.hide(text), text);
});

Deno.test("Secrets.hide() takes a short password for one only where it is a word of its own", () => {
  const secrets = new Secrets();
  secrets.keep("root1");
  assertEquals(
    secrets.hide("root1: no root1! but uproot1 and root12 and root1"),
    "[secret]: no [secret]! but uproot1 and root12 and [secret]",
  );
});

Deno.test("Secrets.hide() knows secrets of punctuation alone", () => {
  const secrets = new Secrets();
  secrets.keep("!?-+*/!?");
  assertEquals(secrets.hide("with !?-+*/!? as password"), "with [secret] as password");
});

Deno.test("Secrets keeps the last tokens, and forgets the oldest", () => {
  const secrets = new Secrets();
  const token = (n: number) => `token-number-${n}-${"x".repeat(4)}${n}${"y".repeat(9)}`;
  for (let n = 0; n < 100; n++) secrets.keep(token(n));
  assertEquals(secrets.hide(`<${token(99)}>`), "<[secret]>");
  assertEquals(secrets.hide(`<${token(95)}>`), "<[secret]>");
});

Deno.test("no eight letters or digits of a secret in a row are left, wherever it stands", () => {
  const seed = Number(Deno.env.get("LODEN_SEED") ?? Date.now() % 2 ** 31);
  const word = fc.string({ minLength: 8, maxLength: 60, unit: "binary-ascii" });
  fc.assert(
    fc.property(
      word,
      fc.string(),
      fc.string(),
      fc.nat({ max: ECHOES.length - 1 }),
      (secret, before, after, kind) => {
        const secrets = new Secrets();
        secrets.keep(secret);
        const [, echo] = ECHOES[kind]!;
        const hidden = secrets.hide(`${before} ${echo(secret)} ${after}`);
        const plain = secret.match(/[a-z0-9]{8,}/gi) ?? [];
        for (const run of plain) {
          assert(
            !hidden.includes(run),
            `seed ${seed}: ${JSON.stringify([secret, hidden])}`,
          );
        }
        if (!hidden.includes("[secret]")) assert(plain.length === 0);
      },
    ),
    { seed },
  );
});

Deno.test("Secrets.hide() takes no longer for a text that is made for it", () => {
  const secrets = new Secrets();
  for (let n = 0; n < 8; n++) secrets.keep(`${n}${TOKEN.repeat(20)}`);
  for (
    const text of ["\\".repeat(1e6), "%".repeat(1e6), "&".repeat(1e6), TOKEN.repeat(1e4), "&#".repeat(1e6)]
  ) {
    const startedMs = performance.now();
    secrets.hide(text);
    const tookMs = performance.now() - startedMs;
    assert(tookMs < 5000, `${text.slice(0, 3)} took ${tookMs} ms`);
  }
});
