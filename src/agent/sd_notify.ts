import type { Libc } from "../linux/libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
/** A service manager that does not read must not hold up the data path. */
const MSG_DONTWAIT = 0x40;
/** `sizeof(sun_path)`. */
const PATH_BYTES = 108;

/**
 * Tells the service manager that start-up is over, where there is one; a failure changes nothing.
 *
 * @param socketPath `NOTIFY_SOCKET`, as systemd sets it: a path, or `@` and an abstract name.
 *
 * Source: sd_notify(3), unix(7).
 */
export function notifyReady(libc: Libc, socketPath: string | undefined): boolean {
  const name = new TextEncoder().encode(socketPath ?? "");
  if (name.length === 0 || name.length >= PATH_BYTES) return false;
  const address = new Uint8Array(2 + name.length);
  address[0] = AF_UNIX;
  address.set(name, 2);
  if (socketPath!.startsWith("@")) address[2] = 0;
  const fd = libc.call.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) return false;
  try {
    const message = new TextEncoder().encode("READY=1");
    return libc.call.connect(fd, address, address.length) === 0 &&
      libc.call.send(fd, message, BigInt(message.length), MSG_DONTWAIT) === message.length;
  } finally {
    libc.call.close(fd);
  }
}
