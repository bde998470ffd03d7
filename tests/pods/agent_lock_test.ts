import { assertEquals } from "@std/assert";
import { agentLockPath, holdAgentLock, isAgentLockHeld } from "../../src/pods/agent_lock.ts";
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
