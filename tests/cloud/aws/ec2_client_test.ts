import { setImmediate } from "node:timers";
import { assertEquals, assertLess, assertRejects, assertStringIncludes } from "@std/assert";
import { CredentialsError, Ec2Client, type Ec2ClientDeps } from "../../../src/cloud/aws/ec2_client.ts";
import { Ec2Error } from "../../../src/cloud/aws/ec2_error.ts";
import { AwsError } from "../../double/aws/aws_error.ts";
import { FakeAws, type FakeAwsOptions } from "../../double/aws/fake_aws.ts";
import { allow } from "../../double/aws/small_cloud.ts";
import { stub } from "../../std_testing/mock.ts";
import { FakeTime } from "../../std_testing/time.ts";

const READ = allow({ Action: "ec2:DescribeRouteTables", Resource: "*" });
const NEVER = new Promise<never>(() => {});
const KEYS = { accessKeyId: "AKIAX", secretAccessKey: "secret" };

/** A client of a double, whose credentials can expire; nothing is waited for. */
function openClient(more: Partial<Ec2ClientDeps> = {}, options: FakeAwsOptions = {}) {
  const aws = FakeAws.open(options);
  aws.identities.addRole("node", [READ]);
  let credentials = aws.identities.issue("node", "i-1", 3600);
  const asked: boolean[] = [];
  const client = new Ec2Client({
    region: aws.cloud.region,
    endpoint: `${aws.ec2.url}/`,
    credentials: ({ isFresh }) => {
      asked.push(isFresh);
      if (isFresh) credentials = aws.identities.issue("node", "i-1", 3600);
      return Promise.resolve(credentials);
    },
    fetch,
    random: () => 0,
    pauseMs: 1,
    ...more,
  });
  return {
    ...{ aws, client, asked },
    expire: () => aws.identities.expire(credentials.accessKeyId),
    call: (signal = AbortSignal.timeout(30_000)) => client.call("DescribeRouteTables", {}, { signal }),
    [Symbol.asyncDispose]: () => aws[Symbol.asyncDispose](),
  };
}

/** A client that no service is behind. */
function loneClient(deps: Partial<Ec2ClientDeps>): Ec2Client {
  return new Ec2Client({
    region: "eu-central-1",
    endpoint: "https://ec2.example/",
    credentials: () => Promise.resolve(KEYS),
    fetch: () => Promise.resolve(new Response("<R/>")),
    random: () => 0,
    ...deps,
  });
}

/** Lets what is ready go on, without time passing. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

const throttled = (headers: Record<string, string> = {}) =>
  new Response(
    "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>slow</Message></Error></Errors></Response>",
    { status: 503, headers },
  );

Deno.test("a throttled call is made again until it is heard, and each call is counted", async () => {
  const counts: string[] = [];
  await using world = openClient({ count: (action) => void counts.push(action) });
  world.aws.control.fail("throttle", { times: 3 });
  await world.call();
  assertEquals(counts, Array(4).fill("DescribeRouteTables"));
});

Deno.test("a call that stays throttled is told after as many attempts as were allowed", async () => {
  await using world = openClient({ maxAttempts: 4 });
  world.aws.control.fail("throttle", { times: 99 });
  const error = await assertRejects(() => world.call(), Ec2Error, "RequestLimitExceeded");
  assertEquals(error.isThrottle, true);
  assertEquals(world.aws.control.count(), 4);
});

Deno.test("between attempts there is a random share of a pause that doubles, up to twenty seconds", async () => {
  using time = new FakeTime();
  const startMs = time.now;
  const atMs: number[] = [];
  const client = loneClient({
    fetch: () => {
      atMs.push(time.now - startMs);
      return Promise.resolve(atMs.length < 9 ? throttled() : new Response("<R/>"));
    },
    random: () => 0.5,
    maxAttempts: 9,
  });
  const done = client.call("A", {}, { signal: new AbortController().signal });
  for (let step = 0; step < 400 && atMs.length < 9; step++) {
    await settle();
    time.tick(250);
  }
  await done;
  const pausesMs = atMs.slice(1).map((ms, at) => ms - atMs[at]!);
  assertEquals(pausesMs, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
});

const retries: readonly [header: string, waitedMs: number][] = [
  ["7", 7000],
  ["86400", 300_000],
  ["Wed, 21 Oct 2015 07:28:00 GMT", 0],
  ["Thu, 21 Oct 2100 07:28:00 GMT", 300_000],
  ["-1", 0],
  ["soon", 0],
];

for (const [header, waitedMs] of retries) {
  Deno.test(`Retry-After: ${header} has the client wait ${waitedMs / 1000} s at least`, async () => {
    using time = new FakeTime();
    const startMs = time.now;
    const atMs: number[] = [];
    const client = loneClient({
      fetch: () => {
        atMs.push(time.now - startMs);
        return Promise.resolve(
          atMs.length === 1 ? throttled({ "retry-after": header }) : new Response("<R/>"),
        );
      },
    });
    const done = client.call("A", {}, { signal: new AbortController().signal });
    for (let step = 0; step < 400 && atMs.length < 2; step++) {
      await settle();
      time.tick(1000);
    }
    await done;
    assertEquals(Math.round(atMs[1]! / 1000) * 1000 - waitedMs <= 1000, true, `${atMs[1]}`);
    assertEquals(atMs[1]! >= waitedMs, true, `${atMs[1]}`);
  });
}

Deno.test("credentials that have expired are asked for anew, once", async () => {
  await using world = openClient();
  await world.call();
  world.expire();
  await world.call();
  assertEquals(world.asked, [false, false, true]);
  world.aws.control.fail(new AwsError("RequestExpired", "Request has expired."), { times: 9 });
  await assertRejects(() => world.call(), Ec2Error, "RequestExpired");
  assertEquals(world.asked.slice(3), [false, true]);
});

Deno.test("a key that EC2 does not know any more is taken anew too, and not again while it throttles", async () => {
  await using world = openClient();
  world.aws.control.fail(new AwsError("AuthFailure", "who?", 401));
  world.aws.control.fail("throttle", { times: 2 });
  await world.call();
  assertEquals(world.asked, [false, true, false, false]);
});

Deno.test("a refusal is not asked for again", async () => {
  await using world = openClient();
  world.aws.identities.setPolicies("node", []);
  const error = await assertRejects(() => world.call(), Ec2Error, "UnauthorizedOperation");
  assertEquals([error.isRefusal, error.message.includes("Encoded")], [true, false]);
  assertEquals(world.aws.control.count(), 1);
});

for (const minutes of [30, -30]) {
  Deno.test(`a clock that is ${Math.abs(minutes)} minutes ${minutes > 0 ? "behind" : "ahead"} is told as such`, async () => {
    await using world = openClient();
    world.aws.control.clockOffsetMs = minutes * 60_000;
    const error = await assertRejects(() => world.call(), Ec2Error);
    assertStringIncludes(error.message, "AuthFailure: AWS was not able to validate");
    assertStringIncludes(
      error.message,
      `this host's clock is 30 minutes ${minutes > 0 ? "behind" : "ahead of"} AWS's: set it`,
    );
  });
}

Deno.test("a wrong key is not blamed on the clock", async () => {
  await using world = openClient({ credentials: () => Promise.resolve(KEYS) });
  const error = await assertRejects(() => world.call(), Ec2Error, "AuthFailure");
  assertEquals(error.message.includes("clock"), false);
});

Deno.test("a host without credentials is told, and EC2 is not asked", async () => {
  await using world = openClient({ credentials: () => Promise.reject(new Error("there are none")) });
  await assertRejects(() => world.call(), CredentialsError, "there are none");
  assertEquals(world.aws.control.count(), 0);
});

Deno.test("an endpoint below a path is signed and asked as it is named", async () => {
  await using world = openClient();
  const client = new Ec2Client({
    region: world.aws.cloud.region,
    endpoint: `${world.aws.ec2.url}/behind/a-proxy/`,
    credentials: () => Promise.resolve(world.aws.identities.issue("node", "i-1", 3600)),
    fetch,
    random: () => 0,
  });
  await client.call("DescribeRouteTables", {}, { signal: AbortSignal.timeout(30_000) });
  assertEquals(world.aws.control.calls.map(({ result }) => result), ["ok"]);
});

/** A body that never comes to its end. */
function trickle(): Response {
  const bytes = new TextEncoder().encode("<R>");
  let timer: number;
  return new Response(
    new ReadableStream({
      start: (out) => void (timer = setInterval(() => out.enqueue(bytes), 1000)),
      cancel: () => clearInterval(timer),
    }),
  );
}

/** As `fetch`, which ends when its signal does. */
function held(answer: Promise<Response> | Response, signal: AbortSignal): Promise<Response> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    Promise.resolve(answer).then((response) => {
      const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
      response.body!.pipeTo(writable, { signal }).catch(() => {});
      resolve(new Response(readable, response));
    }, reject);
  });
}

for (const [name, answer] of [["never answers", () => NEVER], ["trickles", trickle]] as const) {
  Deno.test(`a service that ${name} is given up after twenty seconds`, async () => {
    using time = new FakeTime();
    using _clock = stub(performance, "now", () => time.now);
    const client = loneClient({ fetch: (_, { signal }) => held(answer(), signal) });
    const done = assertRejects(
      () => client.call("A", {}, { signal: new AbortController().signal }),
      Ec2Error,
    );
    for (let step = 0; step < 19; step++) {
      await settle();
      time.tick(1000);
    }
    await settle();
    time.tick(1500);
    const error = await done;
    assertEquals(error.message, "A: ec2.example does not answer: nothing within 20 s");
  });
}

Deno.test("an answer that is too large is given up, and not read to its end", async () => {
  await using world = openClient();
  world.aws.control.fail({ hugeBytes: 2 ** 30 });
  const startedMs = performance.now();
  await assertRejects(() => world.call(), Ec2Error, "the answer is larger than 4096 KiB");
  assertLess(performance.now() - startedMs, 5000);
});

const bad: readonly [body: string, why: string][] = [
  ["", "nothing"],
  ["<R>", "no end"],
  ["{}", "JSON"],
  [`${"<a>".repeat(200_000)}`, "too deep"],
];

for (const [body, why] of bad) {
  Deno.test(`an answer that is no XML (${why}) is told in a sentence`, async () => {
    const client = loneClient({ fetch: () => Promise.resolve(new Response(body)) });
    const error = await assertRejects(
      () => client.call("A", {}, { signal: AbortSignal.timeout(10_000) }),
      Ec2Error,
      "A: ec2.example does not answer: ",
    );
    assertEquals([error.code, error.message.includes("\n")], ["NoAnswer", false]);
  });
}

const waits: readonly [name: string, deps: Partial<Ec2ClientDeps>][] = [
  ["for credentials", { credentials: () => NEVER }],
  ["for an answer", { fetch: (_, { signal }) => held(NEVER, signal) }],
  ["for the rest of an answer", { fetch: (_, { signal }) => held(trickle(), signal) }],
  ["between attempts", { fetch: () => Promise.resolve(throttled()), random: () => 0.99, pauseMs: 60_000 }],
  ["as EC2 has asked to", { fetch: () => Promise.resolve(throttled({ "retry-after": "200" })) }],
];

for (const [name, deps] of waits) {
  Deno.test(`an abort ends the wait ${name}, with its own reason`, async () => {
    const abort = new AbortController();
    const reason = new Error("the agent ends");
    const done = assertRejects(() => loneClient(deps).call("A", {}, { signal: abort.signal }), Error);
    await settle();
    await new Promise((resolve) => setTimeout(resolve, 20));
    abort.abort(reason);
    assertEquals(await done, reason);
  });
}
