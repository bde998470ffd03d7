/** Of each byte, what it does to the sum; the polynomial of IEEE 802.3, reflected. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte;
  for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? sum >>> 1 ^ 0xedb88320 : sum >>> 1;
  return sum;
});

/** The checksum of Ethernet and gzip (CRC-32, RFC 1952): any damage of up to 32 bits in a row is seen. */
export function crc32(bytes: Uint8Array): number {
  let sum = 0xffff_ffff;
  for (let at = 0; at < bytes.length; at++) sum = sum >>> 8 ^ TABLE[(sum ^ bytes[at]!) & 0xff]!;
  return ~sum >>> 0;
}
