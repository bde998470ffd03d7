import { assertEquals, assertThrows } from "@std/assert";
import { assertSpyCall, spy } from "@std/testing/mock";
import { readSetting, writeSetting } from "../../src/host/sysctl_files.ts";
import { EACCES, EINVAL, ENOENT, NetlinkError } from "../../src/linux/errno.ts";
import type { Libc } from "../../src/linux/libc.ts";

const EROFS = 30;
const PATH = "net/ipv4/ip_forward";

/** Answers each folder's files with an errno; those of 0 can be written. */
function answering(errnos: Readonly<Record<string, number>>) {
  const libc = {
    writeSysctl: spy((path: string, _value: string): void => {
      const [, folder] = /^(.*)\/net\//.exec(path)!;
      const errno = errnos[folder!] ?? ENOENT;
      if (errno !== 0) throw new NetlinkError(`write ${path}`, errno);
    }),
    readSysctl(path: string): string {
      const errno = errnos[path] ?? ENOENT;
      if (errno !== 0) throw new NetlinkError(`read ${path}`, errno);
      return "2";
    },
  };
  return { libc: libc as unknown as Libc, write: libc.writeSysctl };
}

const cases: [why: string, own: number, mounted: number, written: string | number][] = [
  ["it can be", 0, 0, "/proc/sys/net/ipv4/ip_forward"],
  ["only the pod's own is read only", EROFS, 0, "/host/proc/sys/net/ipv4/ip_forward"],
  ["only the pod's own is forbidden", EACCES, 0, "/host/proc/sys/net/ipv4/ip_forward"],
  ["nothing is mounted", EROFS, ENOENT, EROFS],
  ["what is mounted is forbidden", EROFS, EACCES, EACCES],
  ["what is mounted is read only too", EROFS, EROFS, EROFS],
  ["the value is wrong", EINVAL, 0, EINVAL],
  ["there is none", ENOENT, 0, ENOENT],
];

for (const [why, own, mounted, written] of cases) {
  Deno.test(`writeSetting() writes where it can, and else tells the refusal that counts: ${why}`, () => {
    const { libc, write } = answering({ "/proc/sys": own, "/host/proc/sys": mounted });
    if (typeof written === "string") {
      writeSetting(libc, PATH, 1);
      assertSpyCall(write, own === 0 ? 0 : 1, { args: [written, "1"], returned: undefined });
    } else {
      assertEquals(assertThrows(() => writeSetting(libc, PATH, 1), NetlinkError).errno, written);
    }
  });
}

Deno.test("readSetting() tells what is not there from what can't be read", () => {
  const { libc } = answering({ "/proc/sys/a": 0, "/proc/sys/b": EACCES });
  assertEquals([readSetting(libc, "a"), readSetting(libc, "c")], [2, undefined]);
  assertThrows(() => readSetting(libc, "b"), NetlinkError, "EACCES");
});
