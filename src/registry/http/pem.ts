/** One part of a PEM file. */
export interface PemBlock {
  /** `CERTIFICATE`, `EC PRIVATE KEY`. */
  readonly label: string;
  /** With its first and last line. */
  readonly text: string;
}

/** The parts of a PEM file that are whole, in their order. */
export function pemBlocks(text: string): readonly PemBlock[] {
  return [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g)]
    .map(([text, label]) => ({ label: label!, text }));
}

/** What a file is that has no part as is looked for, as a clause that goes on from the file's name: `is empty`. */
export function otherThanPem(text: string, wanted: "certificate" | "key"): string {
  const labels = pemBlocks(text).map(({ label }) => label);
  const has = (pattern: RegExp) => labels.some((label) => pattern.test(label));
  if (text.trim() === "") return "is empty";
  if (has(/^ENCRYPTED/) || /^Proc-Type: 4,ENCRYPTED/m.test(text)) {
    return "is encrypted; take the passphrase off (openssl pkey -in OLD -out NEW)";
  }
  if (has(/REQUEST$/)) return "has a request for a certificate, and not what was issued for it";
  if (has(/^TRUSTED /)) {
    return "has a certificate in openssl's own form; openssl x509 -in OLD -out NEW writes it in the common one";
  }
  if (has(/PUBLIC KEY$/) && wanted === "key") return "has a public key, and not the private one";
  if (has(/PRIVATE KEY$/) && wanted === "certificate") {
    return "has a key and no certificate; perhaps the two files are swapped";
  }
  if (has(/^CERTIFICATE$/) && wanted === "key") {
    return "has a certificate and no key; perhaps the two files are swapped";
  }
  if (/-----BEGIN /.test(text)) return "is cut off or damaged";
  // What DER begins with, read as text: a sequence, and in a key its version.
  // deno-lint-ignore no-control-regex
  if (/^0(?:\ufffd|.{1,3}\x02\x01)/s.test(text)) {
    return `has DER, and not PEM; openssl ${
      wanted === "key" ? "pkey" : "x509"
    } -inform der -in OLD -out NEW turns it`;
  }
  return `has no ${wanted} in PEM`;
}
