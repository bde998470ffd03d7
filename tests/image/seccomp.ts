/** Where Debian keeps the profile that container runtimes use when asked for their own. */
const PROFILE = "/usr/share/containers/seccomp.json";

/** The profile as container runtimes keep it: rules for all machines and capabilities. */
interface Profile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly archMap: readonly {
    readonly architecture: string;
    readonly subArchitectures: readonly string[];
  }[];
  readonly syscalls: readonly (Rule & { readonly includes: Condition; readonly excludes: Condition })[];
}

interface Rule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args: readonly unknown[] | null;
}

interface Condition {
  readonly caps?: readonly string[];
  readonly arches?: readonly string[];
  readonly minKernel?: string;
}

/** This machine, in the words of the profile. */
const MACHINES = {
  x86_64: { architecture: "SCMP_ARCH_X86_64", arch: "amd64" },
  aarch64: { architecture: "SCMP_ARCH_AARCH64", arch: "arm64" },
} as const;

/** What OCI's runtime specification calls `linux.seccomp`; `undefined` where nothing is filtered. */
export async function seccompOf(
  type: string | undefined,
  capabilities: readonly string[],
): Promise<Record<string, unknown> | undefined> {
  if (type === undefined || type === "Unconfined") return undefined;
  if (type !== "RuntimeDefault") {
    throw new Error(`Cannot use seccomp profile ${type}: only RuntimeDefault is known`);
  }
  const profile: Profile = JSON.parse(await Deno.readTextFile(PROFILE));
  const { architecture, arch } = MACHINES[Deno.build.arch];
  const has = (names: readonly string[] | undefined, own: readonly string[]) =>
    names?.some((name) => own.includes(name));
  const syscalls = profile.syscalls.filter(({ includes, excludes }) =>
    (includes.caps?.every((name) => capabilities.includes(name)) ?? true) &&
    (has(includes.arches, [arch]) ?? true) &&
    !has(excludes.caps, capabilities) && !has(excludes.arches, [arch])
  );
  const others = profile.archMap.find((entry) => entry.architecture === architecture)?.subArchitectures ?? [];
  return {
    defaultAction: profile.defaultAction,
    defaultErrnoRet: profile.defaultErrnoRet,
    architectures: [architecture, ...others],
    syscalls: syscalls.map(({ names, action, errnoRet, args }) => ({
      names,
      action,
      errnoRet,
      args: args ?? [],
    })),
  };
}
