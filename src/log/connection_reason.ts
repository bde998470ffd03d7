import { errorText } from "./error_text.ts";

const OWN_WANTED = "it wants a certificate of this host's that it knows; name one, and its key";
const NO_HTTP = "it does not speak HTTP there; look at the port";
const NEW_PAIR = "issue one that it takes, and put it and its key there";
/** The longest word of another program that is repeated. */
const MAX_LENGTH = 200;

/** What a failure says, and what a person is told of it. Who has sent an alert is the server; all others come from here. */
const REASONS: readonly (readonly [pattern: RegExp, reason: (found: RegExpExecArray) => string])[] = [
  // What the server says of this host.
  [/alert: (?:CertificateRequired|NoCertificate)/, () => OWN_WANTED],
  [/alert: UnknownCA/, () => `it does not know the authority of this host's certificate; ${NEW_PAIR}`],
  [/alert: CertificateExpired/, () => `it says that this host's certificate has expired; ${NEW_PAIR}`],
  [/alert: CertificateRevoked/, () => `it says that this host's certificate was revoked; ${NEW_PAIR}`],
  [
    /alert: (?:BadCertificate|UnsupportedCertificate|CertificateUnknown|AccessDenied|DecryptError|DecodeError)/,
    () => `it does not take this host's certificate; ${NEW_PAIR}`,
  ],
  [
    /alert: HandshakeFailure/,
    () => `${OWN_WANTED}; or its own key or ciphers are not taken here, as RSA of 1024 bits is not`,
  ],
  [/alert: ProtocolVersion/, () => "it speaks no TLS of version 1.2 or 1.3; allow one of them there"],
  [
    /alert: UnrecognisedName/,
    () => "it does not know the name that it is asked by; name it as its certificate does",
  ],
  [/alert: (\w+)/, ([, alert]) => `it ended the TLS handshake with the alert "${spaced(alert!)}"`],
  // What this host says of the server's certificate.
  [
    /UnknownIssuer/,
    () => "its certificate comes from an authority that is not trusted; name the right one's file",
  ],
  [
    /BadSignature/,
    () =>
      "its certificate comes from an authority that is not trusted; name the right one's file, or give it a key " +
      "that is RSA of 2048 bits or more, P-256 or P-384",
  ],
  [
    /(?:certificate expired|certificate: Expired)(?:.*not valid after (\d+))?/,
    ([, seconds]) => `its certificate has expired${dayOf(seconds)}, or this host's clock is wrong`,
  ],
  [
    /(?:not valid yet|NotValidYet)(?:.*not valid before (\d+))?/,
    ([, seconds]) => `its certificate is not valid yet${dayOf(seconds)}, or this host's clock is wrong`,
  ],
  [
    /not valid for name "([^"]*)"; certificate is only valid for (.*)/,
    ([, asked, names]) =>
      `its certificate is for another name or address (${namesIn(names!)}), not for ${asked}; ` +
      "ask it by one of these, or issue it with that one as subjectAltName",
  ],
  [
    /not valid for name "([^"]*)"/,
    ([, asked]) => `its certificate has no name or address as subjectAltName; issue it anew with ${asked}`,
  ],
  [
    /CaUsedAsEndEntity/,
    () =>
      'its certificate is an authority\'s (CA:TRUE), as "openssl req -x509" makes them; issue it with -addext ' +
      "basicConstraints=critical,CA:FALSE (docs/certificates.md)",
  ],
  [
    /UnsupportedCertVersion/,
    () => "its certificate is of X.509 version 1; issue it anew with a subjectAltName (docs/certificates.md)",
  ],
  [
    /extended key usage/,
    () => "its certificate is not for servers; issue it anew with extendedKeyUsage=serverAuth",
  ],
  [
    /UnsupportedSignatureAlgorithm/,
    () => "its certificate is signed in a way that is too old, as SHA-1 is; issue it anew",
  ],
  [/Revoked/, () => "its certificate was revoked"],
  [
    /invalid peer certificate:.*?(\w+)\W*$/,
    ([, fault]) => `its certificate can't be used (${spaced(fault!)}); issue it anew`,
  ],
  // What is spoken there.
  [
    /InvalidContentType|InvalidMessage|corrupt message/,
    () => "it does not speak TLS there; write http:// or another port",
  ],
  [
    /tls handshake eof/,
    () => "it closed the connection in the middle of the TLS handshake; look at the port, and at its log",
  ],
  [
    /unexpected message from connection|HTTP version|invalid HTTP|invalid content-length|invalid header/i,
    () => NO_HTTP,
  ],
  [/not valid JSON|in JSON at|end of JSON/, () => "it is not in JSON; is it the right server?"],
  [/message head is too large/, () => "the head of its answer is too large; is it the right server?"],
  [/redirect/, () => "it sends this host to another place, which is not followed; name the right place"],
  [
    /unsuccessful tunnel/,
    () => "the proxy does not let this host through",
  ],
  [
    /proxy authentication required/,
    () => "the proxy wants a user and a password, as http://USER:PASSWORD@PROXY",
  ],
  // What the system says.
  [
    /Name or service not known|No address associated|NXDOMAIN|no record/i,
    () => "its name is not known to the name servers",
  ],
  [
    /failure in name resolution|dns error/i,
    () => "its name can't be looked up, as the name servers don't answer",
  ],
  [/os error 22\b/, () => "a route of this host drops what is sent there (blackhole)"],
  [/os error 13\b/, () => "a route or rule of this host prohibits what is sent there"],
  [/([^:()]+) \(os error \d+\)/, ([, words]) => words!.trim()],
  [
    /closed before message completed|connection closed|early eof/i,
    () => "it closed the connection without an answer",
  ],
  [/reading a body|unexpected end of file/, () => "the connection broke in the middle of its answer"],
];

/** What servers say that miss a certificate; some say the same of one that they don't take. */
const MISSED = /alert: (?:CertificateRequired|NoCertificate|BadCertificate|AccessDenied)/;

/**
 * What went wrong with a connection, as a clause for a person that goes on after `it does not answer:`.
 *
 * @param error What `fetch` has thrown.
 * @param options.hasCertificate Whether the server was shown a certificate of this host's.
 */
export function connectionReason(
  error: unknown,
  { hasCertificate = false }: { readonly hasCertificate?: boolean } = {},
): string {
  // A sentence of this program's.
  if (error instanceof Error && error.constructor === Error) return error.message;
  const text = wordsOf(error);
  if (!hasCertificate && MISSED.test(text)) return OWN_WANTED;
  for (const [pattern, reason] of REASONS) {
    const found = pattern.exec(text);
    if (found !== null) return reason(found);
  }
  // Whatever else: the innermost words, and no library's way to print its values.
  const [innermost = ""] = text.split(/: (?=[A-Za-z])/).slice(-1);
  return /[a-z]\(|[{}]|::/.test(innermost) ? `the connection failed (${spaced(innermost)})` : innermost;
}

/** The words of an error and of its causes, without the address that was asked: that may look like anything. */
function wordsOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? `: ${errorText(error.cause)}` : "";
  const text = errorText(error).replace(
    /^error sending request (?:from \S+ )?for (?:url \(\S*\)|\S+ \(\S*\)|\S+): /,
    "",
  );
  return (text + cause).replaceAll(/\s+/g, " ").slice(0, 4 * MAX_LENGTH);
}

/** `UnsupportedCertVersion` as words. */
function spaced(name: string): string {
  const words = name.replaceAll(/([a-z])([A-Z])/g, "$1 $2").replaceAll(/[\W_]+/g, " ").trim().toLowerCase();
  return words.slice(0, MAX_LENGTH);
}

/** `DnsName("a.example") or IpAddress(192.0.2.1)` as `a.example, 192.0.2.1`. */
function namesIn(text: string): string {
  const names = [...text.matchAll(/\w+\("?([^")]*)"?\)/g)].map(([, name]) => name);
  return names.length === 0 ? spaced(text) : names.join(", ").slice(0, MAX_LENGTH);
}

/** A moment in seconds since 1970 as ` on 2026-01-31`; nothing if it is none. */
function dayOf(seconds: string | undefined): string {
  const date = new Date(Number(seconds) * 1000);
  return isNaN(date.getTime()) ? "" : ` (${date.toISOString().slice(0, 10)})`;
}
