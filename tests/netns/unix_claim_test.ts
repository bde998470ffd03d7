import { assert, assertEquals } from "@std/assert";
import { Libc } from "../../src/linux/libc.ts";
import { holderOf, UnixClaim } from "../../src/linux/unix_claim.ts";
import { namedSockets } from "../../src/linux/unix_sockets.ts";
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

Deno.test("namedSockets() finds the names of a network namespace, and no others", async () => {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  libc.inNetns(netns.path, () => {
    using claim = UnixClaim.take(libc, NAME);
    assert(claim !== undefined);
    holderOf(libc, NAME);
    const found = namedSockets(libc, `loden-test/${Deno.pid}/`).map(({ name, uid }) => ({ name, uid }));
    assertEquals(found, [{ name: NAME, uid: Deno.uid() ?? undefined }], "once, though it was asked for");
  });
  using here = UnixClaim.take(libc, NAME);
  assert(here !== undefined);
  assertEquals(libc.inNetns(netns.path, () => namedSockets(libc, `loden-test/${Deno.pid}/`)), []);
});
