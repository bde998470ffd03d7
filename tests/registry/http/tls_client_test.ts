import { assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { stub } from "@std/testing/mock";
import { ConnectionError } from "../../../src/registry/http/connection_error.ts";
import { TlsClient } from "../../../src/registry/http/tls_client.ts";
import { OddCertificates } from "../../double/odd_certificates.ts";
import { freePort, ServerProcess } from "../../double/server_process.ts";

const signal = new AbortController().signal;
/** What stays wrong for longer is told. */
const PATIENCE_MS = 10_000;
const MINUTE_MS = 60_000;

let odd: OddCertificates;
Deno.test.beforeAll(async () => {
  odd = await OddCertificates.open();
});
Deno.test.afterAll(async () => {
  await odd[Symbol.asyncDispose]();
});

/** A client whose three files are in memory, and a clock that is set by hand. */
class World implements AsyncDisposable {
  readonly files: Record<string, string | undefined> = {};
  readonly client: TlsClient;
  nowMs = 0;
  reads = 0;
  readonly #server: ServerProcess;
  readonly #port: number;

  private constructor(server: ServerProcess, port: number) {
    this.#server = server;
    this.#port = port;
    this.client = new TlsClient({
      readTextFile: (path) => {
        this.reads++;
        const text = this.files[path];
        return text === undefined ? Promise.reject(new Deno.errors.NotFound("gone")) : Promise.resolve(text);
      },
      elapsedMs: () => this.nowMs,
    }, { files: { caFile: "/ca", certFile: "/cert", keyFile: "/key" } });
  }

  /** Beside a server that prints the certificate that it is shown. */
  static async open(): Promise<World> {
    const port = freePort();
    const server = new ServerProcess(
      [
        ...["openssl", "s_server", "-accept", `127.0.0.1:${port}`, "-www", "-quiet"],
        ...["-cert", odd.path("p256.crt"), "-key", odd.path("p256.key")],
        ...["-Verify", "1", "-CAfile", odd.authority.caFile],
      ],
      odd.path("log"),
      async () => {
        (await Deno.connect({ hostname: "127.0.0.1", port })).close();
        return true;
      },
    );
    await server.start();
    const world = new World(server, port);
    await world.put({ ca: "ca.crt", cert: "p256.crt", key: "p256.key" });
    return world;
  }

  /** Puts other files there. */
  async put(names: { readonly ca?: string; readonly cert?: string; readonly key?: string }): Promise<void> {
    for (const [file, name] of Object.entries(names)) this.files[`/${file}`] = await odd.text(name);
  }

  /** Whose certificate the server is shown on a new connection. */
  async shown(): Promise<string | undefined> {
    const client = await this.client.client();
    const response = await fetch(`https://127.0.0.1:${this.#port}/`, { client, signal });
    return /Client certificate[^]*?Subject: CN ?= ?(\S+)/.exec(await response.text())?.[1];
  }

  /** Looks at the files, as after a failure. */
  async look(): Promise<void> {
    this.client.doubt();
    await this.client.look();
  }

  get said(): string[] {
    return this.client.conditions.map(({ sentence }) => sentence);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await this.#server[Symbol.asyncDispose]();
  }
}

Deno.test("TlsClient goes on with the pair that it has while only one of two files is renewed, and says nothing of it", async () => {
  await using world = await World.open();
  assertEquals(await world.shown(), "p256");
  await world.put({ cert: "p384.crt" });
  // The connection drops.
  world.client.doubt();
  assertEquals(await world.shown(), "p256");
  assertEquals(world.said, []);
  world.nowMs += MINUTE_MS;
  await world.put({ key: "p384.key" });
  assertEquals(await world.shown(), "p384");
  assertEquals(world.said, []);
});

Deno.test("TlsClient tells what stays wrong with new files, and no more once it is mended", async () => {
  await using world = await World.open();
  await world.client.client();
  await world.put({ cert: "v1.crt" });
  await world.look();
  world.nowMs += PATIENCE_MS - 1;
  assertEquals(world.said, []);
  await world.put({ cert: "rsa1024.crt", key: "rsa1024.key" });
  await world.look();
  world.nowMs++;
  assertEquals(world.client.conditions.map(({ code }) => code), ["certificate-unusable"]);
  const [sentence] = world.said;
  assertMatch(
    sentence!,
    /^the key \/key is RSA of 1024 bits; make one .*; what was read before stays in use/,
  );
  assertEquals(await world.shown(), "p256");
  await world.put({ cert: "ed25519.crt", key: "ed25519.key" });
  await world.look();
  assertEquals(world.said, []);
  assertEquals(await world.shown(), "ed25519");
});

Deno.test("TlsClient makes new connections with the files that it had where the new ones can't be used", async () => {
  await using world = await World.open();
  const before = await world.client.client();
  await world.put({ key: "junk.key" });
  world.client.leave();
  assertEquals(await world.shown(), "p256");
  assertNotEquals(await world.client.client(), before);
});

Deno.test("TlsClient goes on while a file is gone, and says so if it stays away", async () => {
  await using world = await World.open();
  await world.client.client();
  world.files["/key"] = undefined;
  await world.look();
  assertEquals(await world.shown(), "p256");
  world.nowMs += PATIENCE_MS;
  assertMatch(
    world.said[0]!,
    /^\/key can't be read: there is no such file or folder; what was read before stays/,
  );
});

Deno.test("TlsClient that has never had a pair says each time why not, and takes the first that fits", async () => {
  await using world = await World.open();
  await world.put({ key: "p384.key" });
  for (let times = 0; times < 2; times++) {
    await assertRejects(() => world.client.client(), ConnectionError, "the key /key is not the one of the");
  }
  // The caller says it.
  world.nowMs += PATIENCE_MS;
  assertEquals(world.said, []);
  await world.put({ key: "p256.key" });
  assertEquals(await world.shown(), "p256");
});

Deno.test("TlsClient tries what it has refused no second time", async () => {
  await using world = await World.open();
  await world.client.client();
  await world.put({ cert: "v1.crt" });
  const { listenTls } = Deno;
  using listen = stub(Deno, "listenTls", (options: Parameters<typeof listenTls>[0]) => listenTls(options));
  for (let times = 0; times < 5; times++) await world.look();
  assertEquals(listen.calls.length, 1);
});

Deno.test("TlsClient reads its files once for many that ask, and again after a minute, without a failure", async () => {
  await using world = await World.open();
  await Promise.all(Array.from({ length: 10 }, () => world.client.client()));
  assertEquals(world.reads, 3);
  await world.put({ cert: "p384.crt", key: "p384.key" });
  assertEquals(await world.shown(), "p256");
  assertEquals(world.reads, 3);
  world.nowMs += MINUTE_MS;
  assertEquals(await world.shown(), "p384");
});

Deno.test("TlsClient that nobody asks looks at its files once a minute, and each second while they can't be used", async () => {
  await using world = await World.open();
  const reads = async (ms: number) => {
    const before = world.reads;
    world.nowMs += ms;
    await world.client.look();
    return (world.reads - before) / 3;
  };
  assertEquals([await reads(0), await reads(MINUTE_MS - 1), await reads(1)], [1, 0, 1]);
  await world.put({ cert: "v1.crt" });
  assertEquals([await reads(MINUTE_MS), await reads(999), await reads(1)], [1, 0, 1]);
  await world.put({ cert: "p256.crt" });
  assertEquals([await reads(1000), await reads(1000)], [1, 0]);
});

Deno.test("TlsClient leaves damaged authorities out, and says so at once", async () => {
  await using world = await World.open();
  await world.put({ ca: "authorities.crt" });
  assertEquals(await world.shown(), "p256");
  assertEquals(world.said, ["1 of 2 certificates in /ca are damaged, and left out; mend the file"]);
  await world.put({ ca: "ca.crt" });
  await world.look();
  assertEquals(world.said, []);
});

Deno.test("a TlsClient that is closed while it reads leaves no client open", async () => {
  await using world = await World.open();
  const opening = world.client.client();
  world.client[Symbol.dispose]();
  await opening;
});
