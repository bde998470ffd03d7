import { assertEquals, assertGreater } from "@std/assert";
import { MessageReader } from "../../src/netlink/message.ts";
import { decodeChain, decodeRule } from "../../src/nftables/dump.ts";
import { HEADER_BYTES } from "../../src/nftables/objects.ts";
import { expressionsText } from "../../src/nftables/expression.ts";
import { SEED, seededRandom } from "../double/random.ts";
import { damaged, type Random, samples } from "../netlink/damage.ts";
import { NFT_REPLIES, NFT_REQUESTS } from "./captures.ts";

const ROUNDS = 30_000;
/** Bytes before and behind a datagram. */
const MARGIN = 128;

/** What the decoders make of a datagram with `canary` all around, as text. */
function decodeAll(datagram: Uint8Array, canary: number): string[] {
  const bytes = new Uint8Array(datagram.length + 2 * MARGIN).fill(canary);
  bytes.set(datagram, MARGIN);
  const message = new MessageReader(bytes.subarray(MARGIN));
  const said: string[] = [];
  const attempt = (decode: () => string | undefined) => {
    try {
      said.push(decode() ?? "");
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      said.push(`${error}`);
    }
  };
  attempt(() => {
    message.reset(datagram.length);
    while (message.next()) {
      attempt(() => JSON.stringify(decodeChain(message)));
      attempt(() => {
        const rule = decodeRule(message);
        if (rule === undefined) return undefined;
        const { handle, expressions, ...rest } = rule;
        return `${handle} ${expressionsText(expressions)} ${JSON.stringify(rest)}`;
      });
    }
    return "end";
  });
  return said;
}

Deno.test(`decoders of rules answer ${ROUNDS} damaged datagrams with a value or a SyntaxError, and read nothing else`, () => {
  const fraction = seededRandom(SEED);
  const random: Random = (limit) => Math.floor(fraction() * limit);
  const all = samples([NFT_REPLIES, ...NFT_REQUESTS.map(({ wire }) => wire)], () => HEADER_BYTES);
  let errors = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const datagram = damaged(random, all);
    try {
      const said = decodeAll(datagram, 0x00);
      assertEquals(decodeAll(datagram, 0xff), said, "what surrounds the datagram makes a difference");
      if (said.some((line) => line.startsWith("SyntaxError"))) errors++;
    } catch (error) {
      throw new Error(`LODEN_SEED=${SEED}, round ${round}: ${datagram.toHex()}`, { cause: error });
    }
  }
  assertGreater(errors, ROUNDS / 10, "damage must be noticed");
});
