import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { formatHead, MAX_HEAD_BYTES, readHead } from "../../src/status/http_head.ts";

const bytes = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

const heads: [text: string, head: ReturnType<typeof readHead>, why: string][] = [
  ["GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", { method: "GET", target: "/healthz" }, "it is whole"],
  ["GET /healthz HTTP/1.0\n\n", { method: "GET", target: "/healthz" }, "a person has typed it"],
  ["\r\nHEAD / HTTP/1.1\r\n\r\n", { method: "HEAD", target: "/" }, "an empty line comes first"],
  ["GET http://a/readyz HTTP/1.1\r\n\r\n", { method: "GET", target: "http://a/readyz" }, "a proxy asks"],
  [
    "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain;q=0.5\r\n\r\n",
    { method: "GET", target: "/metrics", accept: "text/plain;q=0.5" },
    "the client says what it takes",
  ],
  [
    "GET / HTTP/1.1\r\nX-Accept: a\r\naccept:\r\n\r\n",
    { method: "GET", target: "/" },
    "it says nothing of that",
  ],
  ["POST /healthz HTTP/1.1\r\n\r\nbody\n\n", { method: "POST", target: "/healthz" }, "a body follows"],
  ["", undefined, "nothing has come"],
  ["GET /healthz HTTP/1.1\r\nHost: a\r\n", undefined, "the empty line is to come"],
  ["GET /healthz\r\n\r\n", { refused: 400 }, "it is of version 0.9"],
  ["\x16\x03\x01\x02\n\n", { refused: 400 }, "it is TLS"],
  ["GET  /healthz HTTP/1.1\r\n\r\n", { refused: 400 }, "there are two blanks"],
  ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", { refused: 505 }, "it is of version 2"],
  ["a".repeat(MAX_HEAD_BYTES), { refused: 431 }, "no end is in sight"],
  [
    `GET / HTTP/1.1\r\nA: ${"a".repeat(MAX_HEAD_BYTES)}\r\n\r\n`,
    { refused: 431 },
    "it is whole and too long",
  ],
];

for (const [text, head, why] of heads) {
  Deno.test(`readHead() answers ${JSON.stringify(head)} when ${why}`, () => {
    assertEquals(readHead(bytes(text)), head);
  });
}

Deno.test("readHead() never throws, and says of each whole head the same however it came", () => {
  const line = fc.constantFrom("GET / HTTP/1.1", "GET /x HTTP/1.0", "junk", "");
  const end = fc.constantFrom("\r\n", "\n");
  fc.assert(fc.property(fc.array(fc.tuple(line, end), { maxLength: 6 }), fc.string(), (lines, rest) => {
    const text = lines.map((parts) => parts.join("")).join("");
    const said = readHead(bytes(text));
    if (said !== undefined) assertEquals(readHead(bytes(text + rest)), said);
  }));
});

Deno.test("formatHead() says how long the answer is, and that the connection ends behind it", () => {
  const headers = new Headers({ "content-type": "text/plain; charset=utf-8", "connection": "keep-alive" });
  assertEquals(
    formatHead(503, headers, 7).replace(/date: .*\r\n/, ""),
    "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 7\r\n" +
      "connection: close\r\n\r\n",
  );
});
