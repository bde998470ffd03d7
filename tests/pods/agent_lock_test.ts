import { assertEquals } from "@std/assert";
import { agentLockPath, holdAgentLock, isAgentLockHeld } from "../../src/pods/agent_lock.ts";
import { nobodyLocks } from "../double/nobody.ts";
import { ODD_FILES } from "../double/odd_files.ts";

for (const { what, make } of ODD_FILES) {
  Deno.test(`nobody holds an agent lock that is ${what}, and asking does not wait`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      await make(agentLockPath(`${folder}/subnet.env`));
      assertEquals(isAgentLockHeld(`${folder}/subnet.env`), false);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("an agent lock is held once, as long as its holder has it", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/subnet.env`;
    {
      using lock = holdAgentLock(path);
      assertEquals([lock !== undefined, isAgentLockHeld(path), holdAgentLock(path)], [true, true, undefined]);
    }
    assertEquals(isAgentLockHeld(path), false);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an agent lock can be held by no user but its owner, also one of an earlier version, whatever the umask", async () => {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-lock-" });
  await Deno.chmod(folder, 0o755);
  const umask = Deno.umask(0);
  try {
    const path = `${folder}/run/subnet.env`;
    holdAgentLock(path)?.[Symbol.dispose]();
    assertEquals(await nobodyLocks(agentLockPath(path)), false);
    assertEquals((await Deno.stat(`${folder}/run`)).mode! & 0o777, 0o755);
    await Deno.chmod(agentLockPath(path), 0o644);
    assertEquals(await nobodyLocks(agentLockPath(path)), true);
    using lock = holdAgentLock(path);
    assertEquals([lock !== undefined, await nobodyLocks(agentLockPath(path))], [true, false]);
  } finally {
    Deno.umask(umask);
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an agent lock says whether others still find it", async () => {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-lock-" });
  try {
    const path = `${folder}/subnet.env`;
    using lock = holdAgentLock(path);
    assertEquals(lock?.isInPlace, true);
    await Deno.remove(agentLockPath(path));
    assertEquals(lock?.isInPlace, false);
    using other = holdAgentLock(path);
    assertEquals([lock?.isInPlace, other?.isInPlace], [false, true]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
