import { assertEquals } from "@std/assert";
import { FormerKeeper } from "../../src/agent/former_keeper.ts";
import { EPERM, NetlinkError } from "../../src/linux/errno.ts";
import { parsePrefix } from "../../src/model/address.ts";
import type { NetlinkClient } from "../../src/netlink/client.ts";
import type { PassReport } from "../../src/reconcile/report.ts";
import { RecordedLog } from "../double/recorded_log.ts";

const NETWORK = parsePrefix("10.244.0.0/16");
const PASSED = { failureCount: 0, isForwarding: true, isRemembered: false } as PassReport;

/** A keeper whose kernel refuses dumps as long as `refusal` says. */
function keeper(subnetFilePath: string) {
  const kernel: { refusal: number | undefined } = { refusal: undefined };
  const dump = (action: string) => {
    if (kernel.refusal !== undefined) throw new NetlinkError(action, kernel.refusal);
  };
  const claims = { takeFormer: () => [], releaseFormer: () => {}, isOthersLink: () => false };
  const deps = {
    bootId: "b",
    client: { dump, request: () => {}, batch: () => {} } as unknown as NetlinkClient,
    claims,
    log: new RecordedLog(),
  };
  return {
    kernel,
    former: new FormerKeeper(
      subnetFilePath,
      { networks: [NETWORK], linkNames: [] },
      deps,
    ),
  };
}

Deno.test("FormerKeeper says that the kernel refuses to remove what was made earlier, until it does not any more", async () => {
  const folder = await Deno.makeTempDir({ prefix: "loden-former-" });
  try {
    const { kernel, former } = keeper(`${folder}/subnet.env`);
    former.start();
    kernel.refusal = EPERM;
    former.passed(PASSED);
    assertEquals(former.conditions, [{
      code: "former-state-stays",
      sentence: "what an earlier configuration made is still there: Cannot read links: EPERM",
    }]);
    kernel.refusal = undefined;
    former.passed(PASSED);
    assertEquals(former.conditions, []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("FormerKeeper says that the host's history can't be written, and writes it once it can", async () => {
  const folder = await Deno.makeTempDir({ prefix: "loden-former-" });
  try {
    const { former } = keeper(`${folder}/run/subnet.env`);
    former.start();
    assertEquals(former.conditions.map(({ code }) => code), ["state-not-written"]);
    await Deno.mkdir(`${folder}/run`);
    former.passed(PASSED);
    assertEquals(former.conditions, []);
    await Deno.remove(`${folder}/run/history.json`);
    former.passed(PASSED);
    assertEquals((await Array.fromAsync(Deno.readDir(`${folder}/run`))).map(({ name }) => name), [
      "history.json",
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
