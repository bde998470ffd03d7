/**
 * Asks EC2 for route tables, once for each line that comes, with the credentials that this process finds; prints what it
 * came to, a line each.
 *
 * @module
 */
import { openEc2, regionOf } from "../../../src/cloud/aws/open_aws_cloud.ts";
import { errorText } from "../../../src/log/error_text.ts";

const environment = Deno.env.toObject();
const client = openEc2(regionOf(environment) ?? "eu-central-1", environment);
const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
for await (const _ of lines) {
  const startedMs = performance.now();
  let said = "ok";
  try {
    await client.call("DescribeRouteTables", {}, { signal: AbortSignal.timeout(60_000) });
  } catch (error) {
    said = errorText(error);
  }
  const line = JSON.stringify({ said, tookMs: performance.now() - startedMs });
  await Deno.stdout.write(new TextEncoder().encode(`${line}\n`));
}
// What a library still waits for does not keep it.
Deno.exit(0);
