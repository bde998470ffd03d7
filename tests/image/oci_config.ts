import type { Container, PodSpec, SecurityContext } from "kubernetes-types/core/v1";
import type { ImageConfig } from "../../.ci/image.ts";
import { seccompOf } from "./seccomp.ts";

/** A folder, a file or a memory filesystem at a path in a container, as OCI's runtime specification says it. */
export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** What a container is made of. */
export interface ContainerPlan {
  readonly spec: PodSpec;
  readonly container: Container;
  readonly image: ImageConfig;
  /** Variables that the kubelet resolves, in order. */
  readonly environment: ReadonlyMap<string, string>;
  readonly mounts: readonly OciMount[];
  /** The path of the host's network namespace. */
  readonly netnsPath: string;
  readonly rootfs: string;
  /** Absent where there are no control groups to limit memory in. */
  readonly cgroupsPath?: string;
}

/** What a runtime gives a container that says nothing. */
const USUAL_CAPABILITIES = [
  ...[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
  ],
  ...["NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"],
];
/** What is hidden from, or closed to, a container without privileges: sysctls too. */
const MASKED_PATHS = [
  ...["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"],
  ...["/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"],
];
const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/** What every container has. */
const SYSTEM_MOUNTS: readonly OciMount[] = [
  { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
  {
    destination: "/dev",
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
  },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  {
    destination: "/dev/shm",
    type: "tmpfs",
    source: "shm",
    options: ["nosuid", "noexec", "nodev", "size=65536k"],
  },
  { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
  { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
];
const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
};

/** The config.json of a container, as kubelet and containerd would have it made. */
export async function ociConfig(plan: ContainerPlan): Promise<Record<string, unknown>> {
  const { spec, container, image, environment } = plan;
  const security: SecurityContext = {
    ...spec.securityContext as SecurityContext,
    ...container.securityContext,
  };
  const isPrivileged = security.privileged ?? false;
  const capabilities = capabilitiesOf(security);
  const limit = container.resources?.limits?.memory;
  const seccomp = isPrivileged ? undefined : await seccompOf(security.seccompProfile?.type, capabilities);
  const command = container.command ?? image.Entrypoint ?? [];
  const args = container.args ?? (container.command === undefined ? image.Cmd : undefined) ?? [];
  return {
    ociVersion: "1.0.2",
    process: {
      user: {
        uid: security.runAsUser ?? Number(image.User?.split(":")[0] || 0),
        gid: security.runAsGroup ?? 0,
      },
      args: [...command, ...args].map((word) => expand(word, environment)),
      cwd: container.workingDir ?? (image.WorkingDir || "/"),
      env: [...image.Env ?? [], ...[...environment].map(([name, value]) => `${name}=${value}`)],
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: security.allowPrivilegeEscalation === false,
    },
    root: { path: plan.rootfs, readonly: security.readOnlyRootFilesystem ?? false },
    // Outer ones before those in them.
    mounts: [...SYSTEM_MOUNTS, ...plan.mounts].sort((a, b) => a.destination < b.destination ? -1 : 1),
    linux: {
      namespaces: [
        { type: "mount" },
        { type: "pid" },
        { type: "ipc" },
        { type: "network", path: plan.netnsPath },
        ...spec.hostNetwork ? [] : [{ type: "uts" }],
      ],
      ...!isPrivileged && { maskedPaths: MASKED_PATHS, readonlyPaths: READONLY_PATHS },
      ...seccomp !== undefined && { seccomp },
      ...plan.cgroupsPath !== undefined && {
        cgroupsPath: plan.cgroupsPath,
        ...limit !== undefined && { resources: { memory: { limit: parseQuantity(limit) } } },
      },
    },
  };
}

/** What a container may do, of all that root may. */
function capabilitiesOf({ capabilities, privileged }: SecurityContext): string[] {
  if (privileged) throw new Error("Cannot run a privileged container: nothing of Loden's needs to be one");
  const { add = [], drop = [] } = capabilities ?? {};
  const kept = drop.includes("ALL") ? [] : USUAL_CAPABILITIES.filter((name) => !drop.includes(name));
  return [...new Set([...kept, ...add])].map((name) => `CAP_${name}`);
}

/** Bytes of `50Mi`. */
export function parseQuantity(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([A-Za-z]*)$/.exec(text) ?? [];
  const factor = UNITS[unit ?? "?"];
  if (factor === undefined) throw new Error(`Cannot read quantity ${text}: its unit is not known here`);
  return Number(number) * factor;
}

/** `$(NAME)` stands for a variable, `$$` for a dollar; what is not known stays. */
export function expand(text: string, environment: ReadonlyMap<string, string>): string {
  return text.replaceAll(
    /\$\$|\$\(([^)]+)\)/g,
    (whole, name) => whole === "$$" ? "$" : environment.get(name) ?? whole,
  );
}
