import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Container, PodSpec } from "kubernetes-types/core/v1";
import { expand, ociConfig, parseQuantity } from "./oci_config.ts";

/** The parts of a config.json that these tests look at. */
interface Config {
  readonly process: {
    readonly args: readonly string[];
    readonly env: readonly string[];
    readonly user: { readonly uid: number };
    readonly noNewPrivileges: boolean;
    readonly capabilities: { readonly bounding: readonly string[] };
  };
  readonly linux: {
    readonly resources?: { readonly memory: { readonly limit: number } };
    readonly seccomp?: unknown;
  };
}

const IMAGE = { Entrypoint: ["/entry"], Cmd: ["usual"], Env: ["PATH=/bin"] };

async function configOf(container: Partial<Container>, spec: Partial<PodSpec> = {}): Promise<Config> {
  return await ociConfig({
    spec: { containers: [], ...spec },
    container: { name: "c", ...container },
    image: IMAGE,
    environment: new Map([["NAME", "h1"]]),
    mounts: [],
    netnsPath: "/run/netns/none",
    rootfs: "rootfs",
    cgroupsPath: "/lodentest",
  }) as unknown as Config;
}

Deno.test("command and args stand for the image's entrypoint and arguments as Kubernetes says", async () => {
  const cases: readonly [Partial<Container>, readonly string[], string][] = [
    [{}, ["/entry", "usual"], "neither"],
    [{ args: ["a"] }, ["/entry", "a"], "args replace the image's"],
    [{ command: ["/c"] }, ["/c"], "a command alone drops the image's arguments"],
    [{ command: ["/c"], args: ["a"] }, ["/c", "a"], "both"],
    [
      { args: ["-node=$(NAME)", "$$(NAME)", "$(NONE)"] },
      ["/entry", "-node=h1", "$(NAME)", "$(NONE)"],
      "variables",
    ],
  ];
  for (const [container, args, reason] of cases) {
    assertEquals((await configOf(container)).process.args, args, reason);
  }
  assertEquals((await configOf({})).process.env, ["PATH=/bin", "NAME=h1"]);
});

Deno.test("what a container says of its rights is stronger than what its pod says", async () => {
  const pod: Partial<PodSpec> = {
    securityContext: { runAsUser: 1000, seccompProfile: { type: "RuntimeDefault" } },
  };
  const { process, linux } = await configOf({
    securityContext: {
      runAsUser: 0,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] },
      seccompProfile: { type: "Unconfined" },
    },
    resources: { limits: { memory: "50Mi" } },
  }, pod);
  assertEquals(process.user.uid, 0);
  assertEquals(process.noNewPrivileges, true);
  assertEquals(process.capabilities.bounding, ["CAP_NET_ADMIN"]);
  assertEquals(linux.resources, { memory: { limit: 50 * 2 ** 20 } });
  assertEquals(linux.seccomp, undefined);
  const usual = await configOf({ securityContext: { capabilities: { drop: ["NET_RAW"] } } }, pod);
  assertEquals(usual.process.user.uid, 1000);
  assertEquals(usual.process.capabilities.bounding.includes("CAP_CHOWN"), true);
  assertEquals(usual.process.capabilities.bounding.includes("CAP_NET_RAW"), false);
  assertEquals(usual.linux.seccomp === undefined, false);
});

Deno.test("what the rig can't do as kubelet would, it refuses", async () => {
  await assertRejects(() => configOf({ securityContext: { privileged: true } }), Error, "privileged");
  const seccompProfile = { type: "Localhost" };
  await assertRejects(() => configOf({ securityContext: { seccompProfile } }), Error, "Localhost");
  assertThrows(() => parseQuantity("5Ti"), Error, "5Ti");
});

Deno.test("quantities and variables read as Kubernetes says", () => {
  assertEquals(["1", "1k", "1.5Mi", "2Gi"].map(parseQuantity), [1, 1000, 1.5 * 2 ** 20, 2 ** 31]);
  assertEquals(expand("a $(B) $$", new Map([["B", "$(B)"]])), "a $(B) $");
});
