import { assertEquals, assertLess } from "@std/assert";
import { notifyReady } from "../../src/agent/sd_notify.ts";
import { Libc } from "../../src/linux/libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;

/** A service manager's socket; `name` is a path, or `@` and an abstract name. */
function listen(libc: Libc, name: string): { received(): string } & Disposable {
  const text = new TextEncoder().encode(name);
  const address = new Uint8Array(2 + text.length);
  address[0] = AF_UNIX;
  address.set(text, 2);
  if (name.startsWith("@")) address[2] = 0;
  const fd = libc.checked("open a socket", libc.call.socket(AF_UNIX, SOCK_DGRAM, 0));
  libc.checked(`bind ${name}`, libc.call.bind(fd, address, address.length));
  return {
    received() {
      const buffer = new Uint8Array(100);
      const length = libc.call.recv(fd, buffer, BigInt(buffer.length), MSG_DONTWAIT);
      return new TextDecoder().decode(buffer.subarray(0, Math.max(length, 0)));
    },
    [Symbol.dispose]: () => void libc.call.close(fd),
  };
}

const places: [what: string, name: (folder: string) => string][] = [
  ["a path", (folder) => `${folder}/notify`],
  ["an abstract name", (folder) => `@${folder}/notify`],
];

for (const [what, nameIn] of places) {
  Deno.test(`notifyReady() says READY=1 to a service manager at ${what}`, async () => {
    using libc = new Libc();
    const folder = await Deno.makeTempDir({ prefix: "loden-notify-" });
    try {
      using manager = listen(libc, nameIn(folder));
      assertEquals(notifyReady(libc, nameIn(folder)), true);
      assertEquals(manager.received(), "READY=1");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

const nobody: [why: string, path: string | undefined][] = [
  ["there is no service manager", undefined],
  ["the variable is empty", ""],
  ["nobody listens", "/nowhere/notify"],
  ["the path is too long for a socket", `/${"x".repeat(200)}`],
];

for (const [why, path] of nobody) {
  Deno.test(`notifyReady() changes nothing when ${why}`, () => {
    using libc = new Libc();
    assertEquals(notifyReady(libc, path), false);
  });
}

/** What `net.unix.max_dgram_qlen` is at most on any machine. */
const MORE_THAN_FIT = 100_000;

Deno.test("notifyReady() does not wait for a service manager that has stopped reading", async () => {
  using libc = new Libc();
  const folder = await Deno.makeTempDir({ prefix: "loden-notify-" });
  try {
    using manager = listen(libc, `${folder}/notify`);
    let told = 0;
    while (told < MORE_THAN_FIT && notifyReady(libc, `${folder}/notify`)) told++;
    assertLess(told, MORE_THAN_FIT);
    // It is told as soon as it reads again.
    assertEquals(manager.received(), "READY=1");
    assertEquals(notifyReady(libc, `${folder}/notify`), true);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
