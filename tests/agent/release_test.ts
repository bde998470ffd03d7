import { assert, assertEquals, assertRejects } from "@std/assert";
import { CniError } from "../../src/pods/cni_error.ts";
import type { DelegateCall } from "../../src/plugin/delegate.ts";
import { readReservations } from "../../src/leftovers/host_local.ts";
import type { Finding } from "../../src/leftovers/leftovers.ts";
import { release, type ReleaseDeps } from "../../src/agent/release.ts";
import { StateFolder } from "../../src/pods/state.ts";

const TEXT = JSON.stringify({ name: "cbr0", type: "bridge" });

/** One attachment with state and an address, and delegates that record. */
async function inWorld(
  body: (
    world: { folder: string; finding: Finding; deps: ReleaseDeps; calls: DelegateCall[] },
  ) => Promise<void>,
  options: { readonly fails?: CniError; readonly during?: (folder: string) => void } = {},
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-release-" });
  try {
    await Deno.mkdir(`${folder}/networks/cbr0`, { recursive: true });
    await Deno.writeTextFile(`${folder}/networks/cbr0/10.244.1.2`, "c1\r\neth0");
    const state = new StateFolder(`${folder}/data`);
    state.write({ containerId: "c1", ifname: "eth0" }, TEXT);
    const calls: DelegateCall[] = [];
    const delegates = {
      folders: ["/a", "/b"],
      call: (call: DelegateCall) => {
        calls.push(call);
        options.during?.(folder);
        return options.fails === undefined ? Promise.resolve("") : Promise.reject(options.fails);
      },
    };
    const finding: Finding = {
      network: "cbr0",
      containerId: "c1",
      ifname: "eth0",
      reservations: readReservations(`${folder}/networks`, "cbr0").reservations,
      state: {
        containerId: "c1",
        ifname: "eth0",
        network: "cbr0",
        text: TEXT,
        hasStore: true,
        writtenAtMs: 0,
      },
      fate: "stale",
      reason: "",
    };
    await body({ folder, finding, deps: { delegates, state }, calls });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function filesIn(folder: string): string[] {
  return ["data", "networks/cbr0"].flatMap((part) => [...Deno.readDirSync(`${folder}/${part}`)])
    .map(({ name }) => name).filter((name) => name !== "lock").sort();
}

Deno.test("release() has the delegate undo what the state says, without a sandbox, and forgets it", () =>
  inWorld(async ({ folder, finding, deps, calls }) => {
    assertEquals(await release(finding, deps), "released");
    assertEquals(calls, [{
      verb: "DEL",
      type: "bridge",
      config: TEXT,
      variables: {
        CNI_CONTAINERID: "c1",
        CNI_IFNAME: "eth0",
        CNI_NETNS: "",
        CNI_ARGS: "",
        CNI_PATH: "/a:/b",
      },
    }]);
    assertEquals(filesIn(folder), []);
    assertEquals(await release(finding, deps), "gone");
    assertEquals(calls.length, 1);
  }));

Deno.test("release() of an address alone calls no delegate", () =>
  inWorld(async ({ folder, finding, deps, calls }) => {
    assertEquals(await release({ ...finding, state: undefined }, deps), "released");
    assertEquals([calls.length, filesIn(folder)], [0, ["c1", "c1@eth0"]]);
  }));

Deno.test("release() keeps state and address if the delegate fails, and says why", () =>
  inWorld(async ({ folder, finding, deps }) => {
    await assertRejects(
      () => release(finding, deps),
      Error,
      "Cannot detach c1 eth0: no such plugin; install it",
    );
    assertEquals(filesIn(folder), ["10.244.1.2", "c1", "c1@eth0"]);
  }, { fails: new CniError(999, "no such plugin", "install it") }));

Deno.test("release() leaves an attachment alone whose state has changed since it was found", () =>
  inWorld(async ({ folder, finding, deps, calls }) => {
    deps.state.write({ containerId: "c1", ifname: "eth0" }, JSON.stringify({ name: "cbr0", type: "ptp" }));
    assertEquals(await release(finding, deps), "changed");
    assertEquals([calls.length, filesIn(folder)], [0, ["10.244.1.2", "c1", "c1@eth0"]]);
  }));

Deno.test("release() comes to the same end if the runtime detaches the pod meanwhile", () =>
  inWorld(async ({ folder, finding, deps }) => {
    assertEquals(await release(finding, deps), "released");
    assertEquals(filesIn(folder), []);
  }, {
    during: (folder) => {
      Deno.removeSync(`${folder}/networks/cbr0/10.244.1.2`);
      new StateFolder(`${folder}/data`).remove({ containerId: "c1", ifname: "eth0" });
    },
  }));

Deno.test("release() undoes what flannel's plugin has written, whose state does not say the link", () =>
  inWorld(async ({ folder, finding, deps, calls }) => {
    await Deno.writeTextFile(`${folder}/data/c9`, TEXT);
    const state = { ...finding.state!, containerId: "c9", ifname: undefined };
    assertEquals(
      await release({ ...finding, containerId: "c9", ifname: "net7", reservations: [], state }, deps),
      "released",
    );
    assertEquals(calls[0]?.variables?.CNI_IFNAME, "net7");
    assert(!filesIn(folder).includes("c9"));
  }));
