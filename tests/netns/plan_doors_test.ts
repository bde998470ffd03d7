import { assertEquals } from "@std/assert";
import { DryClient, DryFiles, DryLibc } from "../../src/agent/plan/dry_doors.ts";
import { Libc } from "../../src/linux/libc.ts";
import { ChangeList, changeText } from "../../src/model/host_plan.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";
import { encodeLinkChange, queryLink } from "../../src/rtnetlink/link.ts";

Deno.test("DryClient asks the kernel, and sends it no change", () => {
  using libc = new Libc();
  using socket = NetlinkSocket.open(libc);
  const noted: string[] = [];
  const client = new DryClient(socket, (action) => noted.push(action));
  const lo = queryLink(client, "lo")!;
  client.request(
    "set lo down",
    (writer, sequence) => encodeLinkChange(writer, sequence, lo.linkIndex, { isUp: false }),
  );
  assertEquals(noted, ["set lo down"]);
  assertEquals(queryLink(client, "lo")?.isUp, lo.isUp);
});

Deno.test("DryLibc writes no sysctl, and reads what it would be, as the kernel sets others by it", () => {
  const list = new ChangeList(Infinity);
  using libc = new DryLibc(list, ["flannel.7"]);
  const path = "/proc/sys/net/ipv4/ip_forward";
  const was = libc.readSysctl(path);
  const other = was === "1" ? "0" : "1";
  libc.writeSysctl(path, other);
  assertEquals([libc.readSysctl(path), libc.readSysctl("/proc/sys/net/ipv4/conf/lo/forwarding")], [
    other,
    other,
  ]);
  using real = new Libc();
  assertEquals(real.readSysctl(path), was);
  assertEquals(list.changes.map(changeText), [`~ setting net.ipv4.ip_forward ${was} -> ${other}`]);
});

Deno.test("DryLibc reads what a new link gets for one that is to be made", () => {
  const list = new ChangeList(Infinity);
  using libc = new DryLibc(list, ["flannel.7"]);
  const initial = libc.readSysctl("/proc/sys/net/ipv4/conf/default/rp_filter");
  const path = "/proc/sys/net/ipv4/conf/flannel.7/rp_filter";
  assertEquals(libc.readSysctl(path), initial);
  libc.writeSysctl(path, "2");
  assertEquals(list.changes.map(changeText), [`~ setting net.ipv4.conf.flannel/7.rp_filter ${initial} -> 2`]);
});

Deno.test("DryFiles says which lines of a file would be others, and writes none", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const list = new ChangeList(Infinity);
    const files = new DryFiles(list);
    const path = `${directory}/subnet.env`;
    assertEquals(files.keep(path, "A=1\n"), false);
    await Deno.writeTextFile(path, "A=1\nB=2\n");
    files.keep(path, "A=1\nB=2\n");
    files.keep(path, "A=1\nB=3\n");
    assertEquals(list.changes.map(changeText), [`+ file ${path} A=1`, `~ file ${path} B=2 -> B=3`]);
    assertEquals(await Deno.readTextFile(path), "A=1\nB=2\n");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
