import { waitUntil } from "../../src/lab/wait.ts";
import type { Netns } from "../../src/lab/netns.ts";
import { AF_INET, familyOf, parseAddress } from "../../src/model/address.ts";
import { NetlinkError } from "../../src/linux/errno.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { NetnsSocket } from "../double/overlay_sockets.ts";

/** What a kubelet asks a container of its own host. */
export interface HttpProbe {
  /** An address of the host itself. */
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly timeoutMs: number;
}

/** Reports whether what listens in a network namespace answers with a status from 200 to 399 in time. */
export async function probeHttp(libc: Libc, netns: Netns, probe: HttpProbe): Promise<boolean> {
  const address = parseAddress(probe.host);
  using socket = NetnsSocket.tcp(libc, netns, familyOf(address));
  const host = familyOf(address) === AF_INET ? probe.host : `[${probe.host}]`;
  let text = "";
  try {
    socket.connect(address, probe.port);
    socket.send(
      new TextEncoder().encode(`GET ${probe.path} HTTP/1.0\r\nHost: ${host}:${probe.port}\r\n\r\n`),
    );
    const decoder = new TextDecoder();
    await waitUntil(`get ${probe.path}`, () => {
      for (;;) {
        const bytes = socket.receive();
        if (bytes === undefined) return undefined;
        if (bytes.length === 0) return true;
        text += decoder.decode(bytes, { stream: true });
      }
    }, { deadlineMs: probe.timeoutMs, signal: new AbortController().signal });
  } catch (error) {
    // Nobody listens, or says nothing in time.
    if (error instanceof NetlinkError || text === "") return false;
  }
  const [, status] = /^HTTP\/1\.\d (\d{3})/.exec(text) ?? [];
  return status !== undefined && Number(status) >= 200 && Number(status) < 400;
}
