import { assertEquals } from "@std/assert";
import { Libc } from "../../src/linux/libc.ts";
import { socketOwner } from "../../src/linux/socket_owner.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";

Deno.test("socketOwner() finds who has a netlink socket, also a second one, whose port is not the process's number", () => {
  using libc = new Libc();
  using first = NetlinkSocket.open(libc);
  using second = NetlinkSocket.open(libc);
  const program = libc.readSysctl(`/proc/${Deno.pid}/comm`);
  for (const { portId } of [first, second]) {
    assertEquals(socketOwner(libc, portId), { pid: Deno.pid, program });
  }
});

Deno.test("socketOwner() tells of a socket that is closed or of another protocol, and of none of the kernel's", () => {
  using libc = new Libc();
  using open = NetlinkSocket.open(libc);
  const closed = NetlinkSocket.open(libc);
  closed[Symbol.dispose]();
  assertEquals(socketOwner(libc, closed.portId), "closed");
  assertEquals(socketOwner(libc, open.portId, 12), "closed");
  assertEquals(socketOwner(libc, 0), undefined);
});
