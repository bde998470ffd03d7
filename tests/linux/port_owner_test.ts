import { assertEquals } from "@std/assert";
import { Libc } from "../../src/linux/libc.ts";
import { UdpPort } from "../../src/linux/udp_port.ts";
import { parseAddress } from "../../src/model/address.ts";
import { portOwner, socketsAt } from "../../src/linux/port_owner.ts";

/** What `cat /proc/net/tcp` prints, cut off behind the inode. */
const LIST = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1
   1: 0100007F:1F91 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4712 1
   2: 00000000000000000000000001000000:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1
`;

Deno.test("socketsAt() finds who listens at a port, and for UDP whoever has it", () => {
  assertEquals(socketsAt(LIST, "tcp", 8081), ["4711"]);
  assertEquals(socketsAt(LIST, "tcp", 8082), ["4713"]);
  assertEquals(socketsAt(LIST, "udp", 8081), ["4711", "4712"]);
  assertEquals(socketsAt(LIST, "tcp", 8083), []);
  assertEquals(socketsAt("", "tcp", 8083), []);
});

for (const hostname of ["127.0.0.1", "::1"]) {
  Deno.test(`portOwner() names the program that listens at ${hostname}, and nobody where nobody does`, () => {
    using libc = new Libc();
    const me = `${libc.readSysctl(`/proc/${Deno.pid}/comm`)} (process ${Deno.pid})`;
    const tcp = Deno.listen({ hostname, port: 0 });
    const { port } = tcp.addr as Deno.NetAddr;
    try {
      using _udp = UdpPort.open(libc, { address: parseAddress(hostname), port, hopLimit: 1 }, 64);
      assertEquals(portOwner(libc, "tcp", port), me);
      assertEquals(portOwner(libc, "udp", port), me);
    } finally {
      tcp.close();
    }
    assertEquals(portOwner(libc, "tcp", port), "another program");
    assertEquals(portOwner(libc, "udp", port), "another program");
  });
}
