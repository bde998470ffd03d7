import { assert, assertEquals } from "@std/assert";
import { Libc } from "../../src/linux/libc.ts";
import { holderOf, namesIn, takenNames, UnixClaim } from "../../src/linux/unix_claim.ts";
import { TestNetns } from "../double/netns.ts";

const NAME = `loden-test/${Deno.pid}/10.244.0.0/16`;

Deno.test("UnixClaim: one process of a network namespace has a name, and who that is can be asked", async () => {
  using libc = new Libc();
  await using one = await TestNetns.create();
  await using other = await TestNetns.create();
  const take = (netns: TestNetns, name = NAME) => libc.inNetns(netns.path, () => UnixClaim.take(libc, name));
  {
    using claim = take(one);
    assert(claim !== undefined);
    assertEquals(take(one), undefined, "it is taken");
    using elsewhere = take(other);
    assert(elsewhere !== undefined, "another namespace has names of its own");
    using longer = take(one, `${NAME}4`);
    assert(longer !== undefined, "a name ends where it ends");
    const holder = libc.inNetns(one.path, () => holderOf(libc, NAME));
    assertEquals(holder, { pid: Deno.pid, uid: Deno.uid() });
    // One that asks without end does not keep others from asking.
    for (let count = 0; count < 1000; count++) {
      assert(libc.inNetns(one.path, () => holderOf(libc, NAME)) !== undefined, `asked ${count} times`);
      if (count % 100 === 0) claim.drain();
    }
  }
  assertEquals(libc.inNetns(one.path, () => holderOf(libc, NAME)), undefined, "nobody has it");
  using again = take(one);
  assert(again !== undefined, "it can be taken again");
});

Deno.test("takenNames() finds the names of a network namespace, and no others", async () => {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  libc.inNetns(netns.path, () => {
    using claim = UnixClaim.take(libc, NAME);
    assert(claim !== undefined);
    holderOf(libc, NAME);
    assertEquals(takenNames(libc, `loden-test/${Deno.pid}/`), [NAME], "once, though it was asked for");
  });
  using here = UnixClaim.take(libc, NAME);
  assert(here !== undefined);
  assertEquals(libc.inNetns(netns.path, () => takenNames(libc, `loden-test/${Deno.pid}/`)), []);
});

Deno.test("namesIn() reads abstract names, and takes no path for one", () => {
  const list = [
    "Num       RefCount Protocol Flags    Type St Inode Path",
    "0000000000000000: 00000002 00000000 00010000 0001 01 25000 @loden/network/10.244.0.0/16",
    "0000000000000000: 00000003 00000000 00000000 0001 03 25001 @loden/network/10.244.0.0/16",
    "0000000000000000: 00000002 00000000 00010000 0001 01 25002 /run/@loden/network/10.9.0.0/16",
    "0000000000000000: 00000002 00000000 00010000 0001 01 25003",
    "0000000000000000: 00000002 00000000 00010000 0001 01 25004 @loden/link/flannel.1",
    "",
  ].join("\n");
  assertEquals(namesIn(list, "loden/network/"), ["loden/network/10.244.0.0/16"]);
});
