import { type Authority, makeAuthority, openssl } from "./certificates.ts";

/** Kinds of keys, as openssl makes them; those that rustls does not take too. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  p256: ["EC", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
  p384: ["EC", "-pkeyopt", "ec_paramgen_curve:secp384r1"],
  p521: ["EC", "-pkeyopt", "ec_paramgen_curve:secp521r1"],
  p224: ["EC", "-pkeyopt", "ec_paramgen_curve:secp224r1"],
  secp256k1: ["EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
  brainpool: ["EC", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"],
  explicit: ["EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-pkeyopt", "ec_param_enc:explicit"],
  rsa1024: ["RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
  rsa2047: ["RSA", "-pkeyopt", "rsa_keygen_bits:2047"],
  rsa2048: ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
  pss: ["RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"],
  ed25519: ["ED25519"],
  ed448: ["ED448"],
};

/** Certificates and keys of all kinds, in files of one folder. */
export class OddCertificates implements AsyncDisposable {
  readonly folder: string;
  readonly authority: Authority;

  private constructor(folder: string, authority: Authority) {
    this.folder = folder;
    this.authority = authority;
  }

  static async open(): Promise<OddCertificates> {
    const folder = await Deno.makeTempDir({ prefix: "loden-odd-certificates-" });
    const odd = new OddCertificates(folder, await makeAuthority(folder));
    await Deno.writeTextFile(odd.path("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    for (const [name, algorithm] of Object.entries(KEYS)) {
      await openssl("genpkey", "-algorithm", ...algorithm, "-out", odd.path(`${name}.key`));
      await odd.issue(name, `${name}.key`, ["-extfile", odd.path("ext")]);
    }
    await odd.#makeForms();
    return odd;
  }

  path(name: string): string {
    return `${this.folder}/${name}`;
  }

  async text(name: string): Promise<string> {
    return await Deno.readTextFile(this.path(name));
  }

  async write(name: string, text: string): Promise<void> {
    await Deno.writeTextFile(this.path(name), text);
  }

  /** Has the authority issue `NAME.crt` for a key; of X.509 version 1 where no extensions are named. */
  async issue(name: string, key: string, options: readonly string[]): Promise<void> {
    const request = this.path(`${name}.csr`);
    await openssl("req", "-new", "-key", this.path(key), "-subj", `/CN=${name}`, "-out", request);
    await openssl(
      ...["x509", "-req", "-in", request, "-CA", this.authority.caFile, "-CAkey", this.path("ca.key")],
      ...["-CAcreateserial", ...options.includes("-days") ? [] : ["-days", "2"]],
      ...[...options, "-out", this.path(`${name}.crt`)],
    );
  }

  /** The same key or certificate in other forms, and what is none. */
  async #makeForms(): Promise<void> {
    const [cert, key, ca] = [await this.text("p256.crt"), await this.text("p256.key"), this.authority.caPem];
    await this.issue("v1", "p256.key", []);
    await openssl("ec", "-in", this.path("p256.key"), "-out", this.path("sec1.key"));
    await openssl("rsa", "-in", this.path("rsa2048.key"), "-traditional", "-out", this.path("pkcs1.key"));
    await openssl(
      ...[
        "pkcs8",
        "-topk8",
        "-passout",
        "pass:x",
        "-in",
        this.path("p256.key"),
        "-out",
        this.path("encrypted.key"),
      ],
    );
    await openssl(
      ...[
        "ec",
        "-in",
        this.path("p256.key"),
        "-aes128",
        "-passout",
        "pass:x",
        "-out",
        this.path("encrypted1.key"),
      ],
    );
    await openssl("pkey", "-in", this.path("p256.key"), "-pubout", "-out", this.path("public.key"));
    await openssl("x509", "-in", this.path("p256.crt"), "-outform", "DER", "-out", this.path("der.crt"));
    await openssl("pkey", "-in", this.path("p256.key"), "-outform", "DER", "-out", this.path("der.key"));
    const body = (pem: string) => pem.replaceAll(/-----[^-]+-----|\n/g, "");
    const pem = (label: string, base64: string) =>
      `-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`;
    const longer = (base64: string, bytes: readonly number[]) =>
      new Uint8Array([...Uint8Array.fromBase64(base64), ...bytes]).toBase64();
    const junk = new Uint8Array(120).map((_, at) => at * 37).toBase64();
    const files: Readonly<Record<string, string>> = {
      "empty": "",
      "text": "hello\n",
      "chain.crt": cert + ca,
      "authority-first.crt": ca + cert,
      "other-behind.crt": cert + await this.text("v1.crt"),
      "junk.crt": pem("CERTIFICATE", junk),
      "nothing.crt": pem("CERTIFICATE", ""),
      "longer.crt": pem("CERTIFICATE", longer(body(cert), [1])),
      "shorter.crt": pem("CERTIFICATE", Uint8Array.fromBase64(body(cert)).slice(0, -3).toBase64()),
      "no-base64.crt": pem("CERTIFICATE", "!!!!"),
      "cut.crt": cert.slice(0, 300),
      "trusted.crt": cert.replaceAll("CERTIFICATE", "TRUSTED CERTIFICATE"),
      "mark.crt": `\ufeff${cert}`,
      "lines.crt": cert.replaceAll("\n", "\r\n"),
      "mark.key": `\ufeff${key}`,
      "lines.key": key.replaceAll("\n", "\r\n"),
      "junk.key": pem("PRIVATE KEY", junk),
      "junk1.key": pem("RSA PRIVATE KEY", junk),
      "junk-sec1.key": pem("EC PRIVATE KEY", junk),
      "nothing.key": pem("PRIVATE KEY", ""),
      "wrong-label.key": pem("PRIVATE KEY", body(await this.text("sec1.key"))),
      "no-base64.key": pem("PRIVATE KEY", "!!!!"),
      "cut.key": key.slice(0, 100),
      "both.pem": cert + key,
      "other-first.key": await this.text("ed25519.key") + key,
      "authorities.crt": ca + pem("CERTIFICATE", junk),
    };
    for (const [name, text] of Object.entries(files)) await this.write(name, text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}
