import { errorText } from "../../log/error_text.ts";
import { CertificateError } from "./connection_error.ts";
import { keyKind } from "./key_kind.ts";
import { otherThanPem, pemBlocks } from "./pem.ts";

/** One is enough; a host may lack either. */
const LOOPBACKS = ["127.0.0.1", "::1"];
/** What an error says that has nothing to do with the pair. */
const OF_THE_SYSTEM = /os error \d/;

/** A certificate and its key, in PEM. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/**
 * Why a pair can't be used, as an error; nothing is thrown for one that can.
 *
 * @throws {Error} If the pair can't be used, in the words of the TLS library.
 */
export type TryPair = (pair: TlsPair) => void;

/**
 * Has a server of this process take the pair, on a port of the loopback that is closed at once. `Deno.createHttpClient()`
 * makes the same checks, but there a pair that does not pass them ends the whole process (Deno 2.7 panics), which
 * nothing can catch.
 */
export const tryPair: TryPair = ({ cert, key }: TlsPair): void => {
  let unheard: unknown;
  for (const hostname of LOOPBACKS) {
    try {
      return Deno.listenTls({ hostname, port: 0, cert, key }).close();
    } catch (error) {
      if (!OF_THE_SYSTEM.test(errorText(error))) throw error;
      unheard = error;
    }
  }
  throw unheard;
};

/**
 * Why a certificate and a key can't be used, as a clause that names the file and says what to do; `undefined` if they
 * can.
 *
 * @param names What the two are called.
 * @throws {CertificateError} If it can't be told now, as the system lacks something.
 */
export function pairFault(
  pair: TlsPair,
  names: { readonly cert: string; readonly key: string },
  attempt: TryPair = tryPair,
): string | undefined {
  const refusal = refusalOf(pair, attempt);
  if (refusal === undefined) return undefined;
  if (OF_THE_SYSTEM.test(refusal)) {
    throw new CertificateError(`the certificate ${names.cert} can't be tried: ${refusal}`);
  }
  const { cert, key } = pair;
  if (/No certificates|decode certificate/.test(refusal)) {
    return `${names.cert} ${otherThanPem(cert, "certificate")}`;
  }
  if (/No keys|decode key/.test(refusal)) return `${names.key} ${otherThanPem(key, "key")}`;
  if (/UnsupportedCertVersion/.test(refusal)) {
    return `the certificate ${names.cert} is of X.509 version 1, as "openssl x509 -req" makes them without -extfile; ` +
      "issue it anew with extensions, as extendedKeyUsage=clientAuth";
  }
  if (/KeyMismatch/.test(refusal)) return mismatch(pair, names, attempt);
  if (/private key/.test(refusal)) {
    const kind = keyKind(key);
    if (kind === undefined) return `the key ${names.key} is damaged`;
    return `the key ${names.key} is ${kind}; make one that is RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519`;
  }
  if (/BadEncoding/.test(refusal)) return `the certificate ${names.cert} is damaged`;
  return `the certificate ${names.cert} with the key ${names.key} is refused (${refusal})`;
}

/** Why the key is not the first certificate's. */
function mismatch(
  { cert, key }: TlsPair,
  names: { readonly cert: string; readonly key: string },
  attempt: TryPair,
): string {
  const kind = keyKind(key);
  if (kind?.startsWith("of a curve")) {
    return `the key ${names.key} is ${kind}; make one of P-256, as "openssl ecparam -name prime256v1" does`;
  }
  const [, ...others] = pemBlocks(cert).filter(({ label }) => label === "CERTIFICATE");
  if (others.some(({ text }) => refusalOf({ cert: text, key }, attempt) === undefined)) {
    return `${names.cert} begins with another certificate than the one of the key ${names.key}; ` +
      "put this host's own first, and those of authorities behind it";
  }
  return `the key ${names.key} is not the one of the certificate ${names.cert}; put a pair there that belongs together`;
}

function refusalOf(pair: TlsPair, attempt: TryPair): string | undefined {
  try {
    attempt(pair);
    return undefined;
  } catch (error) {
    return errorText(error);
  }
}
