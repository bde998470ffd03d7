import { assertEquals } from "@std/assert";
import { Libc } from "../../src/linux/libc.ts";
import { programOf, socketOwner } from "../../src/linux/socket_owner.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";

Deno.test("socketOwner() finds who has a netlink socket, also a second one, whose port is not the process's number", () => {
  using libc = new Libc();
  using first = NetlinkSocket.open(libc);
  using second = NetlinkSocket.open(libc);
  for (const { portId } of [first, second]) {
    assertEquals(socketOwner(portId), { pid: Deno.pid, program: programOf(Deno.pid)! });
  }
});

Deno.test("socketOwner() finds nobody for a socket that is closed, of another protocol, or of the kernel", () => {
  using libc = new Libc();
  using open = NetlinkSocket.open(libc);
  const closed = NetlinkSocket.open(libc);
  closed[Symbol.dispose]();
  assertEquals(socketOwner(closed.portId), undefined);
  assertEquals(socketOwner(open.portId, 12), undefined);
  assertEquals(socketOwner(0), undefined);
});

Deno.test("programOf() knows no program of a process that there is not", () => {
  assertEquals(programOf(2 ** 30), undefined);
});
