import { pemBlocks } from "./pem.ts";

/** Kinds of keys that can't be used, by the DER of their object identifiers. */
const KINDS: readonly (readonly [oid: string, kind: string])[] = [
  ["06072a8648ce380401", "DSA"],
  ["06092a864886f70d01010a", "RSA for PSS alone"],
  ["06032b656e", "X25519"],
  ["06032b656f", "X448"],
  ["06032b6571", "Ed448"],
  ["06052b8104000a", "of the curve secp256k1"],
  ["06052b81040021", "of the curve P-224"],
  ["06082a8648ce3d030101", "of the curve P-192"],
  // ecPublicKey, and behind it a sequence in place of a name.
  ["06072a8648ce3d020130", "of a curve that is written out, and not named"],
  ["06092b240303020801", "of a curve of Brainpool's"],
];
/** How far from the start of a key its kind is told. */
const HEAD_BYTES = 48;

/**
 * What kind of private key a PEM file has, as far as that is of interest where it can't be used: `RSA of 1024 bits`;
 * `undefined` if it can't be told.
 *
 * Source: RFC 5958, RFC 8017 (appendix A.1.2), RFC 5915.
 */
export function keyKind(pem: string): string | undefined {
  const block = pemBlocks(pem).find(({ label }) => /PRIVATE KEY$/.test(label));
  if (block === undefined) return undefined;
  let der: string;
  try {
    der = Uint8Array.fromBase64(block.text.replaceAll(/-----[^-]+-----/g, "")).toHex();
  } catch {
    return undefined;
  }
  const head = der.slice(0, 2 * HEAD_BYTES);
  const kind = KINDS.find(([oid]) => head.includes(oid))?.[1];
  if (kind !== undefined) return kind;
  const bits = rsaBits(der);
  return bits === undefined ? undefined : `RSA of ${bits} bits`;
}

/** The size of an RSA key: the first number behind version 0. */
function rsaBits(der: string): number | undefined {
  const [whole, ...sizes] =
    /^(?:30.{0,52}?04(?:81..|82....))?30(?:[0-7].|81..|82....)02010002(?:([0-7].)|81(..)|82(....))/
      .exec(der) ?? [];
  const size = sizes.find((one) => one !== undefined);
  if (whole === undefined || size === undefined) return undefined;
  const number = der.slice(whole.length, whole.length + 2 * parseInt(size, 16)).replace(/^0+/, "");
  return number === "" ? undefined : number.length * 4 - Math.clz32(parseInt(number[0]!, 16)) + 28;
}
