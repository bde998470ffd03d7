import { assertEquals, assertRejects } from "@std/assert";
import { machineHash, readMachine } from "../../src/host/origin.ts";

const ID = "0123456789abcdef0123456789abcdef";
/**
 * `python3 -c 'import hmac; print(hmac.new(bytes.fromhex("0123456789abcdef0123456789abcdef"),
 * bytes.fromhex("a3b1f0d24c7e4c0f9d5b6e21704f8c3a"), "sha256").hexdigest()[:32])'`
 */
const HASH = "fe4b3f1abfb626946f0457d2df192b89";

Deno.test("machineHash() is what Python's hmac makes of the same id", async () => {
  assertEquals(await machineHash(`${ID}\n`), HASH);
});

for (
  const [text, why] of [
    ["", "an image that is to be cloned has an empty file"],
    ["uninitialized\n", "so systemd writes before the first boot"],
    ["0123456789ABCDEF0123456789ABCDEF\n", "machine-id(5) wants lower case"],
    [`${ID}0\n`, "it is too long"],
  ] as const
) {
  Deno.test(`machineHash() refuses ${JSON.stringify(text)}: ${why}`, async () => {
    await assertRejects(() => machineHash(text), SyntaxError);
  });
}

Deno.test("readMachine() leaves out what can't be read, and says why", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/id`, `${ID}\n`);
    await Deno.writeTextFile(`${folder}/large`, ID.repeat(10));
    const doubts: string[] = [];
    const read = (path: string | undefined, name: string) =>
      readMachine(path, name, (why) => doubts.push(why));
    assertEquals(await read(`${folder}/id`, "node7"), { machine: HASH, name: "node7" });
    assertEquals(await read(undefined, "node7"), { name: "node7" });
    assertEquals(doubts, []);
    assertEquals(await read(`${folder}/id`, "two words"), { machine: HASH });
    assertEquals(await read(`${folder}/large`, ""), {});
    assertEquals(await read(`${folder}/none`, "node7"), { name: "node7" });
    assertEquals([doubts.length, doubts[0]], [
      2,
      "it has more than 64 bytes; put a smaller one in its place",
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
