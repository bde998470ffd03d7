import { assertEquals, assertGreater, assertRejects } from "@std/assert";
import { ConnectionError } from "../../../src/registry/http/connection_error.ts";
import { pairFault } from "../../../src/registry/http/tls_pair.ts";
import { OddCertificates } from "../../double/odd_certificates.ts";
import { SEED } from "../../double/random.ts";

/** What rustls takes, and this program with it. */
const KINDS = "make one that is RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519";
const FITS = undefined;
const DAMAGED_KEY = "the key KEY is damaged";
const ENCRYPTED = "KEY is encrypted; take the passphrase off (openssl pkey -in OLD -out NEW)";
const MISMATCH = "the key KEY is not the one of the certificate CERT; put a pair there that belongs together";

/** Pairs, and what is said of them; `CERT` and `KEY` stand for the files. */
const rows: readonly [cert: string, key: string, fault: string | undefined][] = [
  ["p256.crt", "p256.key", FITS],
  ["p384.crt", "p384.key", FITS],
  ["p521.crt", "p521.key", FITS],
  ["rsa2048.crt", "rsa2048.key", FITS],
  ["ed25519.crt", "ed25519.key", FITS],
  ["p256.crt", "sec1.key", FITS],
  ["rsa2048.crt", "pkcs1.key", FITS],
  ["chain.crt", "p256.key", FITS],
  ["other-behind.crt", "p256.key", FITS],
  ["lines.crt", "lines.key", FITS],
  ["mark.crt", "mark.key", FITS],
  ["both.pem", "both.pem", FITS],
  [
    "v1.crt",
    "p256.key",
    'the certificate CERT is of X.509 version 1, as "openssl x509 -req" makes them without -extfile; issue it anew ' +
    "with extensions, as extendedKeyUsage=clientAuth",
  ],
  ["p256.crt", "p384.key", MISMATCH],
  ["p256.crt", "rsa2048.key", MISMATCH],
  ["rsa2048.crt", "ed25519.key", MISMATCH],
  ["p256.crt", "other-first.key", MISMATCH],
  [
    "authority-first.crt",
    "p256.key",
    "CERT begins with another certificate than the one of the key KEY; put this host's own first, and those of " +
    "authorities behind it",
  ],
  ["rsa1024.crt", "rsa1024.key", `the key KEY is RSA of 1024 bits; ${KINDS}`],
  ["rsa2047.crt", "rsa2047.key", `the key KEY is RSA of 2047 bits; ${KINDS}`],
  ["secp256k1.crt", "secp256k1.key", `the key KEY is of the curve secp256k1; ${KINDS}`],
  ["p224.crt", "p224.key", `the key KEY is of the curve P-224; ${KINDS}`],
  ["brainpool.crt", "brainpool.key", `the key KEY is of a curve of Brainpool's; ${KINDS}`],
  ["pss.crt", "pss.key", `the key KEY is RSA for PSS alone; ${KINDS}`],
  ["ed448.crt", "ed448.key", `the key KEY is Ed448; ${KINDS}`],
  [
    "explicit.crt",
    "explicit.key",
    'the key KEY is of a curve that is written out, and not named; make one of P-256, as "openssl ecparam -name ' +
    'prime256v1" does',
  ],
  ["junk.crt", "p256.key", "the certificate CERT is damaged"],
  ["nothing.crt", "p256.key", "the certificate CERT is damaged"],
  ["longer.crt", "p256.key", "the certificate CERT is damaged"],
  ["shorter.crt", "p256.key", "the certificate CERT is damaged"],
  ["no-base64.crt", "p256.key", "CERT is cut off or damaged"],
  ["cut.crt", "p256.key", "CERT is cut off or damaged"],
  ["empty", "p256.key", "CERT is empty"],
  ["empty", "empty", "CERT is empty"],
  ["text", "p256.key", "CERT has no certificate in PEM"],
  ["p256.key", "p256.crt", "CERT has a key and no certificate; perhaps the two files are swapped"],
  ["p256.csr", "p256.key", "CERT has a request for a certificate, and not what was issued for it"],
  [
    "trusted.crt",
    "p256.key",
    "CERT has a certificate in openssl's own form; openssl x509 -in OLD -out NEW writes it in the common one",
  ],
  ["der.crt", "p256.key", "CERT has DER, and not PEM; openssl x509 -inform der -in OLD -out NEW turns it"],
  ["p256.crt", "der.key", "KEY has DER, and not PEM; openssl pkey -inform der -in OLD -out NEW turns it"],
  ["p256.crt", "empty", "KEY is empty"],
  ["p256.crt", "text", "KEY has no key in PEM"],
  ["p256.crt", "p256.crt", "KEY has a certificate and no key; perhaps the two files are swapped"],
  ["p256.crt", "public.key", "KEY has a public key, and not the private one"],
  ["p256.crt", "encrypted.key", ENCRYPTED],
  ["p256.crt", "encrypted1.key", ENCRYPTED],
  ["p256.crt", "junk.key", DAMAGED_KEY],
  ["rsa2048.crt", "junk1.key", DAMAGED_KEY],
  ["p256.crt", "junk-sec1.key", DAMAGED_KEY],
  ["p256.crt", "nothing.key", DAMAGED_KEY],
  ["p256.crt", "wrong-label.key", DAMAGED_KEY],
  ["p256.crt", "no-base64.key", "KEY is cut off or damaged"],
  ["p256.crt", "cut.key", "KEY is cut off or damaged"],
];

const authorities: readonly [ca: string, fault: string | undefined][] = [
  ["ca.crt", FITS],
  ["authorities.crt", FITS],
  ["junk.crt", "the certificate CA is damaged"],
  ["nothing.crt", "the certificate CA is damaged"],
  ["longer.crt", "the certificate CA is damaged"],
  ["cut.crt", "CA is cut off or damaged"],
  ["empty", "CA is empty"],
  ["text", "CA has no certificate in PEM"],
  ["p256.key", "CA has a key and no certificate; perhaps the two files are swapped"],
  ["der.crt", "CA has DER, and not PEM; openssl x509 -inform der -in OLD -out NEW turns it"],
];

Deno.test("a process that is given a certificate and its key asks with them, or says why not, and goes on", async (t) => {
  await using odd = await OddCertificates.open();
  const [cert, key] = [await odd.text("p256.crt"), await odd.text("p256.key")];
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, cert, key, onListen: () => {} },
    () => new Response(""),
  );
  const url = `https://127.0.0.1:${server.addr.port}/`;

  /** What a process says that asks with these files. */
  async function ask(...names: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
    const child = new URL("door_child.ts", import.meta.url).pathname;
    const files = names.map((name) => odd.path(name));
    const args = ["run", "-A", "--no-check", "--no-lock", child, url, ...files];
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    const said = new TextDecoder().decode(stdout);
    return { code, said: said === "" ? new TextDecoder().decode(stderr) : said };
  }

  for (const [cert, key, fault] of rows) {
    await t.step(`${cert} with ${key}: ${fault ?? "fits"}`, async () => {
      const sentence = fault?.replace("CERT", odd.path(cert)).replace("KEY", odd.path(key));
      const said = sentence === undefined ? "status 200" : `ConnectionError: ${sentence}`;
      assertEquals(await ask("ca.crt", cert, key), { code: 0, said });
    });
  }

  for (const [ca, fault] of authorities) {
    await t.step(`authorities in ${ca}: ${fault ?? "fit"}`, async () => {
      const sentence = fault?.replace("CA", odd.path(ca));
      const said = sentence === undefined ? "status 200" : `ConnectionError: ${sentence}`;
      assertEquals(await ask(ca), { code: 0, said });
    });
  }
});

Deno.test("a process that is given hundreds of pairs with wrong bytes in them lives, whichever pass", async () => {
  await using odd = await OddCertificates.open();
  const child = new URL("mutation_child.ts", import.meta.url).pathname;
  const args = ["run", "-A", "--no-check", "--no-lock", child, odd.folder, String(SEED), "800"];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  assertEquals(code, 0, `LODEN_SEED=${SEED}: ${new TextDecoder().decode(stderr)}`);
  // A wrong byte in a signature is for the server to see.
  assertGreater(Number(new TextDecoder().decode(stdout)), 0);
});

Deno.test("pairFault() blames no file for what the system lacks", async () => {
  const attempt = () => {
    throw new Error("Too many open files (os error 24)");
  };
  await assertRejects(
    () => Promise.try(() => pairFault({ cert: "", key: "" }, { cert: "/c", key: "/k" }, attempt)),
    ConnectionError,
    "the certificate /c can't be tried: Too many open files",
  );
});
