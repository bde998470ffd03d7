import { assert, assertEquals } from "@std/assert";
import { Redactor, withoutQuotations } from "../../../src/command/support_bundle/redactor.ts";

const KNOWN = "kn0wn-Pa55word!";
const hide = (text: string, secrets: readonly string[] = [KNOWN]) => new Redactor(secrets).hide(text);

const gone: readonly (readonly [why: string, text: string, secret: string])[] = [
  ["a known password", `user root, ${KNOWN}, is not let in`, KNOWN],
  [
    "a known password in base64",
    `x ${new TextEncoder().encode(KNOWN).toBase64()} y`,
    new TextEncoder().encode(KNOWN).toBase64(),
  ],
  ["a known password in a URL", `?p=${encodeURIComponent(KNOWN)}`, encodeURIComponent(KNOWN)],
  ["a key", "-----BEGIN PRIVATE KEY-----\nMIIabcdef\n-----END PRIVATE KEY-----", "MIIabcdef"],
  [
    "a key in JSON",
    '"key": "-----BEGIN EC PRIVATE KEY-----\\nMHcCAQEE\\n-----END EC PRIVATE KEY-----\\n"',
    "MHcCAQEE",
  ],
  ["half a key", "-----BEGIN PRIVATE KEY-----\nMIIhalf", "MIIhalf"],
  ["a token", "authorization eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJl.c2lnbmF0dXJl", "c2lnbmF0dXJl"],
  ["a bearer", "Authorization: Bearer abc.def", "abc.def"],
  ["a bearer in JSON", '{"Authorization":"Bearer abc.def"}', "abc.def"],
  ["keys of AWS", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"],
  ["a secret key of AWS", "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"],
  ["a URL's password", "https://user:hunter2@etcd:2379", "hunter2"],
  ["a flag", "-etcd-password=hunter2 -v=1", "hunter2"],
  ["a flag in JSON", '["-etcd-password=hunter2"]', "hunter2"],
  ["a YAML key", "    token: hunter2", "hunter2"],
  ["a JSON key", '{"client-key-data": "hunter2"}', "hunter2"],
  ["a JSON key in JSON", '{"text":"{\\"password\\": \\"hunter2 or so\\"}"}', "hunter2"],
  ["a flag and its value in two words", "run --etcd-password elevenpass -v=1", "elevenpass"],
  ["Loden's own flag and its value in two words", "loden -etcd-password elevenpass", "elevenpass"],
  ["a flag and its value in a list", '["-etcd-password", "elevenpass"]', "elevenpass"],
  ["a flag and its value in a list in JSON", '{"a":"[\\"-etcd-password\\",\\"elevenpass\\"]"}', "elevenpass"],
  ["a value that looks like a flag", "-etcd-password -elevenpass", "elevenpass"],
  ["a password in a sentence", "etcd password hunter2horse", "hunter2horse"],
  ["a password that a sentence tells", "the password is now hunter2horse", "hunter2horse"],
  ["a password in a sentence in JSON", '{"reason":"etcd password hunter2horse"}', "hunter2horse"],
  ["a password in quotes", "password for 'hunter2 horse'", "hunter2"],
  ["a short name", "user=root pass=hunter2", "hunter2"],
  ["a short name in a variable", "DB_PASS=hunter2", "hunter2"],
  ["a shorter name", "pwd: hunter2", "hunter2"],
  ["a cookie", "Cookie: sid=hunter2; lang=hunter2", "hunter2"],
  ["a cookie in JSON", '{"headers":{"Set-Cookie":"lang=en; s=hunter2"}}', "hunter2"],
  ["a session", "/login?sid=hunter2&x=1", "hunter2"],
  ["a passphrase", "passphrase is hunter2", "hunter2"],
  ["a pass phrase", "pass phrase: hunter2", "hunter2"],
  ["a token for kubeadm", "join --token abcdef.0123456789abcdef", "0123456789"],
  ["a token for kubeadm that stands alone", "got abcdef.0123456789abcdef", "0123456789"],
  ["a token of GitHub", "remote ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5", "aB3dE5g"],
  ["a key in hexadecimal", "psk 0x6a1f2e3d", "6a1f2e3d"],
  ["a token in a sentence", "secret token 8f7e6d5c4b", "8f7e6d5c4b"],
  ["a long word", `x ${"aB3".repeat(20)} y`, "aB3aB3aB3"],
];

for (const [why, text, secret] of gone) {
  Deno.test(`Redactor.hide() takes ${why} out`, () => {
    const hidden = hide(text);
    assert(!hidden.includes(secret), hidden);
    assert(hidden.includes("[secret]"), hidden);
  });
}

const kept = [
  "-iface=eth0 -subnet-file=/run/flannel/subnet.env",
  "10.244.3.0/24 via 10.244.3.0 dev flannel.1 table main proto 76 metric 4 onlink",
  "fd00:10:244:3::/64 dev flannel-v6.1",
  "0e:2a:00:00:00:0a dst 192.0.2.2 PERMANENT",
  "-a-ip-10-0-0-1.eu-central-1.compute.internal",
  '"sentence": "link flannel.1 could not be created: EPERM",',
  "net/ipv4/neigh/default/gc_thresh3 = 1024",
  "etcd: user name or password is wrong; password authentication failed; password: ",
  "the agent had -etcd-password, which is noted nowhere",
  "the service account token has expired",
  '"pass": {\n    "startedAt": "2026-01-01T00:00:00Z"\n  }',
  '"tokens": [\n    "x"\n  ]',
  "bypass: 7, loden_pass_duration_seconds_count 12, compass=3",
  "a pass of 12 ms",
  "server1.example, h1.internal, 0123456789abcdef",
];

Deno.test("Redactor.hide() leaves what a person needs", () => {
  for (const text of kept) assertEquals(hide(text), text);
});

Deno.test("Redactor.hide() knows more than eight secrets, finds them in long texts, and cuts lines without end", () => {
  const secrets = Array.from({ length: 20 }, (_, at) => `${(at + 7).toString(36).repeat(9)}xyzzy`);
  const text = Array.from({ length: 20_000 }, (_, at) => `line ${at} ${secrets[at % 20]}`).join("\n");
  const hidden = hide(text, secrets);
  const at = hidden.indexOf("xyzzy");
  assertEquals(at < 0 ? "" : hidden.slice(at - 100, at + 20), "");
  assertEquals(hidden.split("\n").length, 20_000);
  assert(hide("x ".repeat(100_000)).length < 20_000);
});

Deno.test("withoutQuotations() keeps a document, and none of what its sentences quote", () => {
  const document = {
    a: 'must be JSON, is "canary one"',
    b: 'cut "canary two',
    list: ['"canary" and "canary"'],
    plain: "x",
  };
  const text = withoutQuotations(JSON.stringify(document));
  assert(!text.includes("canary"), text);
  assertEquals(JSON.parse(text), {
    a: 'must be JSON, is "[quoted]"',
    b: 'cut "[quoted]"',
    list: ['"[quoted]" and "[quoted]"'],
    plain: "x",
  });
});
