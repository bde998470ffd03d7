import { assertEquals } from "@std/assert";
import { crc32 } from "../../src/path/crc32.ts";

const sums: [text: string, sum: number, why: string][] = [
  ["", 0, "nothing"],
  ["123456789", 0xcbf43926, "the check value of CRC-32/ISO-HDLC"],
  ["loden", 0x04fb3a45, "python3 -c 'import zlib; print(hex(zlib.crc32(b\"loden\")))'"],
];

for (const [text, sum, why] of sums) {
  Deno.test(`crc32() of ${why}`, () => {
    assertEquals(crc32(new TextEncoder().encode(text)), sum);
  });
}
