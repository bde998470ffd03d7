import { assert, assertEquals, assertGreater } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { ROOT } from "../double/etcd.ts";
import { httpGet } from "../double/overlay_http.ts";
import { until, untilReady } from "../double/overlay_rig.ts";
import { type ServedOverlay, withEtcdOverlay, withKubeOverlay } from "../double/overlay_servers.ts";
import type { RudeFront } from "../double/rude_front.ts";

const base64 = (text: string) => new TextEncoder().encode(text).toBase64();

/** How something between an agent and its registry repeats what it was sent, in an answer that is no good. */
const ECHOES: readonly ((text: string) => Response)[] = [
  (text) => Response.json({ kind: "Status", code: 403, message: `not let in with ${text}` }, { status: 403 }),
  (text) => Response.json({ code: 2, message: `${text} ${"x".repeat(300)} ${text}` }, { status: 500 }),
  (text) => Response.json({ error: { message: base64(text) }, message: base64(text) }, { status: 503 }),
  (text) => new Response(`<html>${text}\u202e\u2028${encodeURIComponent(text)}</html>`, { status: 502 }),
  (text) => new Response(text.match(/[^]{1,12}/g)!.join("\r\n"), { status: 400 }),
  (text) => new Response(`${"y".repeat(16 * 1024 - 60)}${text}`, { status: 500 }),
  // What should have been JSON, or a lease, or an event.
  (text) => new Response(`${text} \u202e`, { status: 200 }),
  (text) => new Response(`{"result": "${text}`, { status: 200 }),
  (text) =>
    Response.json({ type: "ERROR", object: { kind: "Status", code: 500, message: text } }, { status: 200 }),
  (text) => Response.json({ error: { grpc_code: 14, message: text } }, { status: 200 }),
  (text) =>
    new Response(null, {
      status: 302,
      headers: { location: `http://127.0.0.1/?${new URLSearchParams({ token: text.slice(0, 2000) })}` },
    }),
];

/** Answers everything with what it was sent, each time in another way; returns how often each way was taken. */
function echo(front: RudeFront, canaries: Set<string>): readonly number[] {
  const counts = ECHOES.map(() => 0);
  let next = 0;
  front.rude = async (request) => {
    const token = request.headers.get("authorization")?.replace(/^Bearer /, "");
    if (token !== undefined) canaries.add(token);
    const headers = [...request.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    const at = next++ % ECHOES.length;
    counts[at]!++;
    return ECHOES[at]!(`${headers}\n${await request.text()}`);
  };
  return counts;
}

/** Everything that an agent writes, and answers. */
async function writtenBy(lab: Lab, libc: Libc): Promise<string> {
  const written: string[] = [];
  for (const host of lab.hosts) {
    for await (const { name, isFile } of Deno.readDir(host.directory)) {
      if (isFile) written.push(`${name}: ${await Deno.readTextFile(`${host.directory}/${name}`)}`);
    }
    for (const path of ["/status", "/readyz", "/metrics"]) {
      written.push((await httpGet(libc, host.netns, path))?.body ?? "");
    }
  }
  return written.join("\n");
}

/** Has a registry echo what it is sent until all ways were taken, and looks for it in all that agents say. */
async function assertNothingIsEchoed(
  { lab, libc, relay, front, flags }: Omit<ServedOverlay<unknown>, "server">,
  secrets: readonly string[],
): Promise<void> {
  for (const host of lab.hosts) await untilReady(libc, host);
  const canaries = new Set(secrets);
  const counts = echo(front!, canaries);
  await relay.stop();
  await relay.start();
  // One that starts meanwhile has more to show, as its password.
  const [h1] = lab.hosts as [LabHost];
  await h1.stopAgent("SIGTERM");
  h1.startAgent(flags);
  await until(
    "be answered in all ways",
    () => counts.every((count) => count >= 2) || undefined,
    () => counts.join(" "),
  );
  const text = await writtenBy(lab, libc);
  assertGreater(text.length, 1000);
  assertGreater([...text.matchAll(/can't be followed/g)].length, 1, "the agents say what is wrong");
  for (const canary of canaries) {
    for (
      const part of [canary, base64(canary).slice(0, 12), encodeURIComponent(canary), canary.slice(0, 9)]
    ) {
      const at = text.indexOf(part);
      assertEquals(at < 0 ? "" : text.slice(Math.max(0, at - 200), at + 100), "", `nobody writes ${part}`);
    }
  }
  assert(!/[\u202e\u2028]/.test(text), "others' words turn no line around");
  assertEquals(h1.agent?.end, undefined);
}

Deno.test("a token that an API server repeats is in no log, no file and no answer of an agent", async () => {
  await withKubeOverlay("double", async (overlay) => {
    await assertNothingIsEchoed(overlay, ["agent-token"]);
  }, { withFront: true });
});

Deno.test("a password and a token that etcd repeats are in no log, no file and no answer of an agent", async () => {
  await withEtcdOverlay(async (overlay) => {
    await assertNothingIsEchoed(overlay, [ROOT.password]);
  }, { withFront: true, withUsers: true });
});
