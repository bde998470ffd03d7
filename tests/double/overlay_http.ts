import { HEALTH_ADDRESS } from "../../src/lab/host.ts";
import type { Netns } from "../../src/lab/netns.ts";
import { waitUntil } from "../../src/lab/wait.ts";
import { AF_INET, parseAddress } from "../../src/model/address.ts";
import { isErrno } from "../../src/linux/errno.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { ECONNREFUSED, NetnsSocket } from "./overlay_sockets.ts";

const ECONNRESET = 104;
const ANSWER_DEADLINE_MS = 5000;

/** What a server answered. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/** Asks the agent in a network namespace, from outside of it; `undefined` if nobody listens. */
export async function httpGet(
  libc: Libc,
  netns: Netns,
  path: string,
  at = HEALTH_ADDRESS,
  accept?: string,
): Promise<HttpAnswer | undefined> {
  using socket = NetnsSocket.tcp(libc, netns, AF_INET);
  const [address, port] = at.split(":") as [string, string];
  const fields = accept === undefined ? "" : `Accept: ${accept}\r\n`;
  let text = "";
  try {
    socket.connect(parseAddress(address), Number(port));
    // Version 1.0: the answer is not cut into chunks, and ends with the connection.
    socket.send(new TextEncoder().encode(`GET ${path} HTTP/1.0\r\nHost: ${at}\r\n${fields}\r\n`));
    const decoder = new TextDecoder();
    await waitUntil(`get ${path}`, () => {
      for (;;) {
        const bytes = socket.receive();
        if (bytes === undefined) return undefined;
        if (bytes.length === 0) return true;
        text += decoder.decode(bytes, { stream: true });
      }
    }, { deadlineMs: ANSWER_DEADLINE_MS, signal: new AbortController().signal });
  } catch (error) {
    if (isErrno(error, ECONNREFUSED) || isErrno(error, ECONNRESET)) return undefined;
    throw error;
  }
  const [, status] = /^HTTP\/1\.\d (\d{3})/.exec(text) ?? [];
  if (status === undefined) return undefined;
  return { status: Number(status), body: text.slice(text.indexOf("\r\n\r\n") + 4) };
}
