import { assertEquals } from "@std/assert";
import { canonicalRequest, isSignedWith, parseClaim, signatureOf } from "../../double/aws/signature.ts";

const SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SCOPE = { date: "20150830", region: "us-east-1", service: "service" };
const ALWAYS = { "host": ["example.amazonaws.com"], "x-amz-date": ["20150830T123600Z"] };
const FORM_HASH = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";
const STS_TOKEN =
  "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

/** Of AWS's published test suite (awslabs/aws-c-auth, tests/aws-signing-test-suite/v4), by the names there. */
const VECTORS: readonly {
  readonly name: string;
  readonly method?: string;
  readonly path?: string;
  readonly query?: string;
  readonly headers?: Readonly<Record<string, readonly string[]>>;
  readonly unsigned?: readonly string[];
  readonly body?: string;
  readonly signature: string;
}[] = [
  { name: "get-vanilla", signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
  {
    name: "get-utf8",
    path: "/%E1%88%B4",
    signature: "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
  },
  {
    name: "get-vanilla-query-order-key-case",
    query: "Param2=value2&Param1=value1",
    signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
  },
  {
    name: "get-vanilla-query-order-encoded",
    query: "Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
    signature: "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
  },
  {
    name: "get-header-value-trim",
    headers: { "my-header1": [" value1"], "my-header2": [' "a   b   c"'] },
    signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
  },
  {
    name: "get-header-value-multiline",
    headers: { "my-header1": ["value1\n  value2\n     value3"] },
    signature: "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd",
  },
  {
    name: "get-header-key-duplicate",
    headers: { "my-header1": ["value2", "value2", "value1"] },
    signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
  },
  {
    name: "post-x-www-form-urlencoded",
    method: "POST",
    headers: {
      "content-length": ["13"],
      "content-type": ["application/x-www-form-urlencoded"],
      "x-amz-content-sha256": [FORM_HASH],
    },
    body: "Param1=value1",
    signature: "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
  },
  {
    name: "get-vanilla-with-session-token",
    headers: { "x-amz-security-token": ["6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"] },
    signature: "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
  },
  {
    name: "post-sts-header-before",
    method: "POST",
    headers: { "x-amz-security-token": [STS_TOKEN] },
    signature: "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
  },
  {
    name: "post-sts-header-after",
    method: "POST",
    headers: { "x-amz-security-token": [STS_TOKEN] },
    unsigned: ["x-amz-security-token"],
    signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
  },
];

for (const { name, signature, unsigned = [], ...vector } of VECTORS) {
  Deno.test(`signatureOf() makes the signature of AWS's test vector ${name}`, () => {
    const headers = new Map(Object.entries({ ...ALWAYS, ...vector.headers }));
    const request = { method: "GET", path: "/", query: "", body: "", ...vector, headers };
    const signedHeaders = [...headers.keys()].filter((header) => !unsigned.includes(header)).sort();
    assertEquals(signatureOf(request, { ...SCOPE, signedHeaders }, SECRET), signature);
    const claim = parseClaim(
      `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=${
        signedHeaders.join(";")
      }, Signature=${signature}`,
    )!;
    assertEquals(claim, { ...SCOPE, accessKeyId: "AKIDEXAMPLE", signedHeaders, signature });
    assertEquals(isSignedWith(request, claim, SECRET), true);
    assertEquals(isSignedWith(request, claim, `${SECRET}x`), false);
    assertEquals(isSignedWith({ ...request, body: `${request.body}x` }, claim, SECRET), false);
  });
}

Deno.test("canonicalRequest() is the text that AWS's test vector get-header-value-trim shows", () => {
  const headers = new Map(
    Object.entries({ ...ALWAYS, "my-header1": [" value1"], "my-header2": [' "a   b   c"'] }),
  );
  assertEquals(
    canonicalRequest({ method: "GET", path: "/", query: "", headers, body: "" }, [
      ...["host", "my-header1", "my-header2", "x-amz-date"],
    ]),
    [
      ...["GET", "/", "", "host:example.amazonaws.com", "my-header1:value1", 'my-header2:"a b c"'],
      ...["x-amz-date:20150830T123600Z", "", "host;my-header1;my-header2;x-amz-date"],
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ].join("\n"),
  );
});
