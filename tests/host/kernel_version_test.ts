import { assertEquals } from "@std/assert";
import { formatKernelVersion, parseKernelVersion, runningKernel } from "../../src/host/kernel_version.ts";

const versions: [version: string | undefined, procVersion: string, signature: string, why: string][] = [
  [
    "6.18.44",
    "Linux version 6.18.44-fc (root@host) (gcc) #1 SMP PREEMPT_DYNAMIC Mon Aug 3",
    "",
    "its own build",
  ],
  ["6.18.0", "Linux version 6.18 (root@host) (gcc) #1 SMP", "", "a release without a third number"],
  ["5.15.0", "Linux version 5.15.0-rc3+ (root@host)", "", "a release candidate"],
  [
    "4.19.316",
    "Linux version 4.19.0-27-amd64 (debian-kernel@lists.debian.org) (gcc version 8.3.0 (Debian 8.3.0-6)) " +
    "#1 SMP Debian 4.19.316-1 (2024-06-25)",
    "",
    "Debian's, behind the version of its compiler",
  ],
  [
    "6.1.0",
    "Linux version 6.1.0-37-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0)",
    "",
    "the end is cut off: the compiler's version does not count",
  ],
  [
    "5.4.233",
    "Linux version 5.4.0-150-generic (buildd@bos03) (gcc version 9.4.0 (Ubuntu 9.4.0-1ubuntu1~20.04.1)) #167",
    "Ubuntu 5.4.0-150.167-generic 5.4.233",
    "Ubuntu's signature",
  ],
  [
    "4.18.0",
    "Linux version 4.18.0-553.el8_10.x86_64 (mockbuild@builder) (gcc version 8.5.0)",
    "",
    "Red Hat's",
  ],
  [undefined, "", "", "it can't be read"],
  [undefined, "FreeBSD 14.1", "", "it is another system's"],
];

for (const [version, procVersion, signature, why] of versions) {
  Deno.test(`parseKernelVersion() finds ${version ?? "nothing"}: ${why}`, () => {
    const parsed = parseKernelVersion(procVersion, signature);
    assertEquals(parsed && formatKernelVersion(parsed), version);
  });
}

Deno.test("runningKernel() agrees with uname(2) about the first two numbers", () => {
  const release = Deno.osRelease().split(".").slice(0, 2).map(Number.parseFloat);
  assertEquals<readonly number[] | undefined>(runningKernel(Deno.readTextFileSync)?.slice(0, 2), release);
});

Deno.test("runningKernel() knows nothing where nothing can be read", () => {
  const refuse = () => {
    throw new Error("no");
  };
  assertEquals(runningKernel(refuse), undefined);
});
