import { NetlinkError } from "../../src/linux/errno.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";
import { losing, refusing, requestsOf } from "./refusing.ts";

/** Where one netlink call can go wrong. */
export const SEAMS = ["request", "send", "receive", "answers"] as const;

/**
 * One call that goes wrong: the `n`-th of its kind, counted from 0.
 *
 * | seam      | what the caller sees                            | what the kernel has done   |
 * | --------- | ----------------------------------------------- | -------------------------- |
 * | `request` | this one request is refused with `errno`        | all others of its batch    |
 * | `send`    | the system call fails with `errno`              | nothing of the batch       |
 * | `receive` | the system call fails, the answers come later   | all of it                  |
 * | `answers` | nothing: the answers to a send are gone         | all of it                  |
 */
export interface Injection {
  readonly seam: typeof SEAMS[number];
  readonly n: number;
  readonly errno: number;
}

/** A transport in which one call goes wrong. */
export function failing(transport: NetlinkTransport, { seam, n, errno }: Injection): NetlinkTransport {
  switch (seam) {
    case "request":
      return refusing(transport, n, errno, () => true);
    case "answers":
      return losing(transport, n);
    case "send":
    case "receive":
      return breaking(transport, seam, n, errno);
  }
}

/** A transport whose `n`-th system call of one kind fails, once. */
function breaking(
  transport: NetlinkTransport,
  seam: "send" | "receive",
  n: number,
  errno: number,
): NetlinkTransport {
  let seen = 0;
  const count = (kind: typeof seam) => {
    if (kind === seam && seen++ === n) throw new NetlinkError(`${seam} netlink messages`, errno);
  };
  return {
    portId: transport.portId,
    send(batch) {
      count("send");
      transport.send(batch);
    },
    receive(buffer) {
      count("receive");
      return transport.receive(buffer);
    },
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}

/** A transport that notes what goes through it. */
export interface RecordingTransport extends NetlinkTransport {
  /** The types of the requests of each send, in their order: `RTM_NEWROUTE`. */
  readonly sends: readonly (readonly number[])[];
  /** For each receive, the send that came before it, counted from 0. */
  readonly receives: readonly number[];
}

/** Notes the calls of a transport. */
export function recording(transport: NetlinkTransport): RecordingTransport {
  const sends: number[][] = [];
  const receives: number[] = [];
  return {
    portId: transport.portId,
    sends,
    receives,
    send(batch) {
      sends.push(requestsOf(batch).map(({ type }) => type));
      transport.send(batch);
    },
    receive(buffer) {
      receives.push(sends.length - 1);
      return transport.receive(buffer);
    },
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}
