/**
 * Runs in the host's network namespace: asks an agent so often a second, whether it answers or not, until its standard
 * input ends, and prints what came of it. Its argument is a {@linkcode FloodTask} in JSON.
 *
 * @module
 */
import { raiseDescriptorLimit } from "../../src/linux/descriptor_limit.ts";
import { Libc } from "../../src/linux/libc.ts";
import { encodeSocketAddress } from "../../src/linux/socket_address.ts";
import { AF_INET, parseAddress } from "../../src/model/address.ts";

/** Whom to ask, what, and how often. */
export interface FloodTask {
  readonly port: number;
  /** The agent's socket for the commands of its host. */
  readonly doorPath: string;
  /** What is asked for, in turns: `tcp /status`, `door /status`, `closed /` of a port where nobody listens. */
  readonly questions: readonly string[];
  readonly perSecond: number;
}

/** What came of it. */
export interface FloodResult {
  readonly asked: number;
  readonly answered: number;
  readonly seconds: number;
}

const CLOSED_PORT = 1;
const MOST_AT_ONCE = 400;
const AF_UNIX = 1;
const SOCK_STREAM_NONBLOCK = 1 | 0o2000000 | 0o4000;
const MSG_DONTWAIT_NOSIGNAL = 0x40 | 0x4000;
const EAGAIN = 11;
const ENOTCONN = 107;
const EINPROGRESS = 115;
/** Requests under way; of more the oldest are given up. */
const MOST = 4000;

interface Request {
  readonly fd: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  isSent: boolean;
  hasAnswer: boolean;
}

function unixAddress(path: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(2 + path.length + 1);
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, true);
  new TextEncoder().encodeInto(path, bytes.subarray(2));
  return bytes;
}

async function flood(task: FloodTask): Promise<FloodResult> {
  using libc = new Libc();
  const { call } = libc;
  raiseDescriptorLimit(libc);
  const loopback = parseAddress("127.0.0.1");
  const addresses: Readonly<
    Record<string, { readonly family: number; readonly address: Uint8Array<ArrayBuffer> }>
  > = {
    tcp: { family: AF_INET, address: encodeSocketAddress(loopback, task.port) },
    closed: { family: AF_INET, address: encodeSocketAddress(loopback, CLOSED_PORT) },
    door: { family: AF_UNIX, address: unixAddress(task.doorPath) },
  };
  const buffer = new Uint8Array(256 * 1024);
  const heads = task.questions.map((question) => {
    const [where = "", path = ""] = question.split(" ");
    const text = `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
    return { ...addresses[where]!, bytes: new TextEncoder().encode(text) };
  });
  const under = new Set<Request>();
  let [asked, answered] = [0, 0];
  const begin = () => {
    const { family, address, bytes } = heads[asked % heads.length]!;
    const fd = call.socket(family, SOCK_STREAM_NONBLOCK, 0);
    asked++;
    if (call.connect(fd, address, address.length) < 0 && libc.errno !== EINPROGRESS) return call.close(fd);
    under.add({ fd, bytes, isSent: false, hasAnswer: false });
  };
  const end = (request: Request) => {
    if (request.hasAnswer) answered++;
    call.close(request.fd);
    under.delete(request);
  };
  const go = (request: Request) => {
    if (!request.isSent) {
      const sent = call.send(request.fd, request.bytes, BigInt(request.bytes.length), MSG_DONTWAIT_NOSIGNAL);
      if (sent < 0) return libc.errno === EAGAIN || libc.errno === ENOTCONN ? undefined : end(request);
      request.isSent = true;
    }
    for (;;) {
      const read = call.recv(request.fd, buffer, BigInt(buffer.length), MSG_DONTWAIT_NOSIGNAL);
      if (read > 0) request.hasAnswer = true;
      else return read < 0 && libc.errno === EAGAIN ? undefined : end(request);
    }
  };
  const startedMs = performance.now();
  let elapsedMs = 0;
  let isEnded = false;
  (async () => {
    for await (const _ of Deno.stdin.readable);
    isEnded = true;
  })();
  while (!isEnded) {
    const due = Math.floor(elapsedMs * task.perSecond / 1000);
    // What could not be asked in time, as the machine is busy, is asked now, as far as a tick allows.
    for (let at = 0; asked < due && at < MOST_AT_ONCE; at++) {
      if (under.size >= MOST) end(under.values().next().value!);
      begin();
    }
    for (const request of under) go(request);
    await new Promise((resolve) => setTimeout(resolve, 1));
    elapsedMs = performance.now() - startedMs;
  }
  for (const request of under) end(request);
  return { asked, answered, seconds: elapsedMs / 1000 };
}

if (import.meta.main) {
  const result = await flood(JSON.parse(Deno.args[0]!));
  await Deno.stdout.write(new TextEncoder().encode(JSON.stringify(result)));
}
