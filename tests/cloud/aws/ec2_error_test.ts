import { assertEquals, assertLess } from "@std/assert";
import { Ec2Error, ec2ErrorOf } from "../../../src/cloud/aws/ec2_error.ts";

const answer = (code: string, message: string) =>
  `<?xml version="1.0"?>\n<Response><Errors><Error><Code>${code}</Code><Message>${message}</Message></Error></Errors>` +
  "<RequestID>r</RequestID></Response>";

function errorOf(body: string, more: Partial<Parameters<typeof ec2ErrorOf>[1]> = {}): Ec2Error {
  return ec2ErrorOf("CreateRoute", {
    status: 400,
    body,
    retryAfterMs: undefined,
    skewMs: undefined,
    ...more,
  });
}

const cases: readonly [body: string, status: number, code: string, message: string, why: string][] = [
  [
    answer("RouteAlreadyExists", "There is one"),
    400,
    "RouteAlreadyExists",
    "RouteAlreadyExists: There is one",
    "EC2's own words",
  ],
  [
    answer("UnauthorizedOperation", "You may not. Encoded authorization failure message: aGVsbG8td29ybGQ"),
    403,
    "UnauthorizedOperation",
    "UnauthorizedOperation: You may not.",
    "what only a tool can read is left out",
  ],
  [
    answer("A", "one\n  two\t\u001b[31mthree\u0007"),
    400,
    "A",
    "A: one two [31mthree",
    "one line, without controls",
  ],
  [answer("A\nB", "x"), 400, "A B", "A B: x", "a code too"],
  [
    "<Response><Errors><Error><Code>A</Code></Error></Errors></Response>",
    400,
    "A",
    "A: no reason given",
    "a message is not always there",
  ],
  [
    "<Response><Errors><Error><Code>A</Code><Message>1</Message></Error><Error><Code>B</Code></Error></Errors></Response>",
    400,
    "A",
    "A: 1",
    "the first of several",
  ],
  [
    "<ErrorResponse><Error><Type>Sender</Type><Code>A</Code><Message>1</Message></Error></ErrorResponse>",
    400,
    "A",
    "A: 1",
    "another service's shape",
  ],
  [
    "<ErrorResponse><Errors><Error><Code>A</Code><Message>2</Message></Error></Errors></ErrorResponse>",
    401,
    "A",
    "A: 2",
    "moto's",
  ],
  [
    "<html><h1>502</h1></html>",
    502,
    "NoAnswer",
    "the answer has status 502 and is none of EC2's",
    "a proxy's page",
  ],
  [
    "",
    503,
    "RequestLimitExceeded",
    "the answer has status 503 and is none of EC2's",
    "a balancer has too much to do",
  ],
  [
    "<Response><Errors/></Response>",
    400,
    "NoAnswer",
    "the answer has status 400 and is none of EC2's",
    "no error",
  ],
  ["<Response><Errors>", 400, "NoAnswer", "the answer has status 400 and is none of EC2's", "cut"],
  ['{"__type":"x"}', 400, "NoAnswer", "the answer has status 400 and is none of EC2's", "JSON"],
  [
    `<!DOCTYPE r [<!ENTITY a "x"><!ENTITY b "&a;&a;">]>${answer("A", "&b;&lt;&#65;")}`,
    400,
    "A",
    "A: <A",
    "entities of its own are nothing",
  ],
];

for (const [body, status, code, message, why] of cases) {
  Deno.test(`ec2ErrorOf() says ${JSON.stringify(message)}: ${why}`, () => {
    const error = errorOf(body, { status });
    assertEquals([error.code, error.message], [code, `CreateRoute: ${message}`]);
  });
}

Deno.test("ec2ErrorOf() survives what is huge, deep, or named as what every object has", () => {
  const deep = `${"<a>".repeat(100_000)}${"</a>".repeat(100_000)}`;
  const hostile = [
    answer("A".repeat(100_000), "x".repeat(1_000_000)),
    deep,
    `<Response>${deep}</Response>`,
    "<__proto__><constructor/></__proto__>",
    "<Response><Errors><Error><Code><toString/></Code></Error></Errors></Response>",
    "<Response><Errors><Error><__proto__><Code>A</Code></__proto__></Error></Errors></Response>",
    "\u0000<",
  ];
  for (const body of hostile) {
    const { message } = errorOf(body);
    assertLess(message.length, 600);
    assertEquals(message.includes("\n"), false);
  }
  assertEquals(({} as Record<string, unknown>)["Code"], undefined);
});

const kinds: readonly [code: string, kind: "isThrottle" | "isExpired" | "isRefusal" | undefined][] = [
  ["RequestLimitExceeded", "isThrottle"],
  ["EC2ThrottledException", "isThrottle"],
  ["Throttling", "isThrottle"],
  ["RequestExpired", "isExpired"],
  ["ExpiredToken", "isExpired"],
  ["InvalidClientTokenId", "isExpired"],
  ["AuthFailure", "isExpired"],
  ["UnauthorizedOperation", "isRefusal"],
  ["AccessDenied", "isRefusal"],
  ["RouteLimitExceeded", undefined],
  ["DryRunOperation", undefined],
  ["NoAnswer", undefined],
];

for (const [code, kind] of kinds) {
  Deno.test(`an error ${code} is ${kind ?? "none of the kinds that are met in a way of their own"}`, () => {
    const { isThrottle, isExpired, isRefusal } = new Ec2Error("CreateRoute", { code, message: code });
    const found = Object.entries({ isThrottle, isExpired, isRefusal }).filter(([, is]) => is);
    assertEquals(found.map(([name]) => name), kind === undefined ? [] : [kind]);
  });
}

const skews: readonly [code: string, skewMs: number | undefined, hint: string][] = [
  ["AuthFailure", 30 * 60_000, " (this host's clock is 30 minutes behind AWS's: set it)"],
  ["RequestExpired", -90 * 60_000, " (this host's clock is 90 minutes ahead of AWS's: set it)"],
  ["SignatureDoesNotMatch", undefined, ""],
  ["RouteLimitExceeded", 30 * 60_000, ""],
];

for (const [code, skewMs, hint] of skews) {
  Deno.test(`ec2ErrorOf() ${hint === "" ? "does not speak" : "speaks"} of the clock at ${code} and ${skewMs} ms`, () => {
    assertEquals(errorOf(answer(code, "no"), { skewMs }).message, `CreateRoute: ${code}: no${hint}`);
  });
}
