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

const isOwn = (host: string) => host === "own";
const named: [text: string, head: ReturnType<typeof readHead>, why: string][] = [
  ["GET /status HTTP/1.1\r\nHost: own\r\n\r\n", { method: "GET", target: "/status" }, "it is for this host"],
  ["GET /status HTTP/1.1\r\nhOST:own \r\n\r\n", { method: "GET", target: "/status" }, "fields have no case"],
  ["GET /status HTTP/1.1\r\nHost: evil\r\n\r\n", { refused: 421 }, "it is for another"],
  ["GET /status HTTP/1.1\nHost:evil\n\n", { refused: 421 }, "it is for another, line feeds alone"],
  ["GET /status HTTP/1.1\r\nHost:\r\n\r\n", { refused: 421 }, "it is for nobody"],
  ["GET /status HTTP/1.1\r\nHost: own\r\nHost: evil\r\n\r\n", { refused: 421 }, "it is for two"],
  [
    "GET /status HTTP/1.1\r\nX: y\r\nHost: a\r\nHost: b\r\nHost: c\r\n\r\n",
    { refused: 400 },
    "it is for three",
  ],
  ["GET http://evil/status HTTP/1.1\r\nHost: own\r\n\r\n", { refused: 421 }, "the target's host is another"],
  ["GET //evil/status HTTP/1.1\r\nHost: evil\r\n\r\n", { refused: 421 }, "the target is no host"],
  [
    "GET /healthz HTTP/1.1\r\nHost: evil\r\n\r\n",
    { method: "GET", target: "/healthz" },
    "it says nothing of it",
  ],
  ["GET /healthz?x HTTP/1.1\r\nHost: evil\r\n\r\n", { refused: 421 }, "it is not quite that"],
  ["GET /status HTTP/1.0\r\n\r\n", { method: "GET", target: "/status" }, "no browser asks so"],
];

for (const [text, head, why] of named) {
  Deno.test(`readHead() of a server that has a name answers ${JSON.stringify(head)} when ${why}`, () => {
    assertEquals(readHead(bytes(text), isOwn), head);
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
    "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n" +
      "x-content-type-options: nosniff\r\nx-frame-options: DENY\r\ncontent-length: 7\r\nconnection: close\r\n\r\n",
  );
});
