import { assertEquals, assertThrows } from "@std/assert";
import { readSetting, writeSetting } from "../../src/host/sysctl_files.ts";
import { EACCES, EINVAL, ENOENT, NetlinkError } from "../../src/netlink/errno.ts";
import type { Libc } from "../../src/netlink/ffi.ts";

const EROFS = 30;
const PATH = "net/ipv4/ip_forward";

/** Answers each folder's files with an errno; those of 0 can be written. */
function answering(errnos: Readonly<Record<string, number>>) {
  const written: string[] = [];
  const libc = {
    writeSysctl(path: string, value: string): void {
      const [, folder] = /^(.*)\/net\//.exec(path)!;
      const errno = errnos[folder!] ?? ENOENT;
      if (errno !== 0) throw new NetlinkError(`write ${path}`, errno);
      written.push(`${path} ${value}`);
    },
    readSysctl(path: string): string {
      const errno = errnos[path] ?? ENOENT;
      if (errno !== 0) throw new NetlinkError(`read ${path}`, errno);
      return "2";
    },
  };
  return { libc: libc as unknown as Libc, written };
}

const cases: [why: string, own: number, mounted: number, outcome: string | number][] = [
  ["it can be", 0, 0, "/proc/sys/net/ipv4/ip_forward 1"],
  ["only the pod's own is read only", EROFS, 0, "/host/proc/sys/net/ipv4/ip_forward 1"],
  ["only the pod's own is forbidden", EACCES, 0, "/host/proc/sys/net/ipv4/ip_forward 1"],
  ["nothing is mounted", EROFS, ENOENT, EROFS],
  ["what is mounted is forbidden", EROFS, EACCES, EACCES],
  ["what is mounted is read only too", EROFS, EROFS, EROFS],
  ["the value is wrong", EINVAL, 0, EINVAL],
  ["there is none", ENOENT, 0, ENOENT],
];

for (const [why, own, mounted, outcome] of cases) {
  Deno.test(`writeSetting() writes where it can, and else tells the refusal that counts: ${why}`, () => {
    const { libc, written } = answering({ "/proc/sys": own, "/host/proc/sys": mounted });
    if (typeof outcome === "string") {
      writeSetting(libc, PATH, 1);
      assertEquals(written, [outcome]);
    } else {
      const error = assertThrows(() => writeSetting(libc, PATH, 1), NetlinkError);
      assertEquals([error.errno, written], [outcome, []]);
    }
  });
}

Deno.test("readSetting() tells what is not there from what can't be read", () => {
  const { libc } = answering({ "/proc/sys/a": 0, "/proc/sys/b": EACCES });
  assertEquals([readSetting(libc, "a"), readSetting(libc, "c")], [2, undefined]);
  assertThrows(() => readSetting(libc, "b"), NetlinkError, "EACCES");
});
