import type { Container, PodSpec, Volume, VolumeProjection } from "kubernetes-types/core/v1";
import type { OciMount } from "./oci_config.ts";

/** What the kubelet of a node asks the API server for. */
export interface ClusterAccess {
  /** The authority of the API server. */
  readonly caPem: string;
  /** Where pods reach the API server. */
  readonly serviceHost: string;
  readonly servicePort: number;
  token(namespace: string, serviceAccount: string): Promise<string>;
  configMap(namespace: string, name: string): Promise<Readonly<Record<string, string>>>;
}

/** What the volumes of a pod are made of. */
export interface VolumeOptions {
  readonly spec: PodSpec;
  readonly namespace: string;
  readonly cluster: ClusterAccess;
  /** The folder that stands for the node's root: paths of the host are in it. */
  readonly root: string;
  /** A folder of the pod's own. */
  readonly folder: string;
}

/** Where every container finds the token of its service account. */
const ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";
/** What the kubelet mounts by itself, as ServiceAccount admission writes it into a pod. */
const ACCOUNT_VOLUME: Volume = {
  name: "kube-api-access",
  projected: {
    sources: [
      { serviceAccountToken: { path: "token" } },
      { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
      { downwardAPI: { items: [{ path: "namespace", fieldRef: { fieldPath: "metadata.namespace" } }] } },
    ],
  },
};

/** The mounts of each container of a pod, by the container's name, from volumes that are made on the node. */
export async function makeVolumes(options: VolumeOptions): Promise<(container: Container) => OciMount[]> {
  const { spec } = options;
  const volumes = [...spec.volumes ?? []];
  const hasToken = spec.automountServiceAccountToken !== false;
  if (hasToken) volumes.push(ACCOUNT_VOLUME);
  const sources = new Map<string, string | OciMount>();
  for (const volume of volumes) sources.set(volume.name, await makeVolume(volume, options));
  const network = ["hosts", "resolv.conf"].map((name) =>
    bind(`/etc/${name}`, `${options.folder}/${name}`, true)
  );
  await Deno.writeTextFile(`${options.folder}/hosts`, "127.0.0.1 localhost\n::1 localhost\n");
  await Deno.writeTextFile(`${options.folder}/resolv.conf`, "");

  return (container) => {
    const mounts = [...container.volumeMounts ?? []];
    if (hasToken && !mounts.some(({ mountPath }) => mountPath === ACCOUNT_FOLDER)) {
      mounts.push({ name: ACCOUNT_VOLUME.name, mountPath: ACCOUNT_FOLDER, readOnly: true });
    }
    return [
      ...network,
      ...mounts.map(({ name, mountPath, readOnly = false, subPath }) => {
        const source = sources.get(name);
        if (source === undefined) throw new Error(`Cannot mount ${mountPath}: there is no volume ${name}`);
        if (typeof source !== "string") return { ...source, destination: mountPath };
        return bind(mountPath, subPath === undefined ? source : `${source}/${subPath}`, readOnly);
      }),
    ];
  };
}

function bind(destination: string, source: string, isReadOnly: boolean): OciMount {
  return { destination, type: "bind", source, options: ["rbind", "rprivate", isReadOnly ? "ro" : "rw"] };
}

/** Makes a volume, and says where it is or what is mounted. */
async function makeVolume(volume: Volume, options: VolumeOptions): Promise<string | OciMount> {
  const { name, hostPath, emptyDir, configMap, projected } = volume;
  const folder = `${options.folder}/volumes/${name}`;
  if (hostPath !== undefined) {
    // What is in /proc is of the network namespace that looks, so it is the node's own.
    const root = hostPath.path.startsWith("/proc/") ? "" : options.root;
    return await makeHostPath(`${root}${hostPath.path}`, hostPath.type ?? "");
  }
  if (emptyDir?.medium === "Memory") {
    return { destination: "", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "mode=1777"] };
  }
  await Deno.mkdir(folder, { recursive: true });
  if (emptyDir !== undefined) {
    await Deno.chmod(folder, 0o777);
    return folder;
  }
  if (configMap !== undefined) await writeFiles(folder, await filesOf({ configMap }, options));
  else if (projected !== undefined) {
    const files = await Promise.all((projected.sources ?? []).map((source) => filesOf(source, options)));
    await writeFiles(folder, Object.assign({}, ...files));
  } else throw new Error(`Cannot make volume ${name}: its kind is not known here`);
  return folder;
}

/** A path of the host, made where its type says so; a type of `""` is made too, as container runtimes do. */
async function makeHostPath(path: string, type: string): Promise<string> {
  const info = await Deno.stat(path).catch(() => undefined);
  const isFile = type.startsWith("File");
  if (info === undefined) {
    if (type !== "" && !type.endsWith("OrCreate")) {
      throw new Error(`Cannot mount ${path}: there is no such ${type}`);
    }
    await Deno.mkdir(isFile ? path.slice(0, path.lastIndexOf("/")) : path, { recursive: true });
    if (isFile) await Deno.writeTextFile(path, "");
  } else if (type !== "" && info.isFile !== isFile) {
    throw new Error(`Cannot mount ${path}: it is no ${type}`);
  }
  return path;
}

/** The files of one source of a volume: text by path. */
async function filesOf(
  { configMap, serviceAccountToken, downwardAPI }: VolumeProjection,
  { spec, namespace, cluster }: VolumeOptions,
): Promise<Record<string, string>> {
  if (serviceAccountToken !== undefined) {
    return {
      [serviceAccountToken.path]: await cluster.token(namespace, spec.serviceAccountName ?? "default"),
    };
  }
  if (downwardAPI !== undefined) {
    return Object.fromEntries((downwardAPI.items ?? []).map(({ path, fieldRef }) => {
      if (fieldRef?.fieldPath !== "metadata.namespace") {
        throw new Error(`Cannot make ${path}: its field is not known`);
      }
      return [path, namespace];
    }));
  }
  const name = configMap?.name ?? "";
  // The controller that puts this one into every namespace does not run.
  const data = name === "kube-root-ca.crt"
    ? { "ca.crt": cluster.caPem }
    : await cluster.configMap(namespace, name);
  const items = configMap?.items ?? Object.keys(data).map((key) => ({ key, path: key }));
  return Object.fromEntries(items.map(({ key, path }) => {
    const text = data[key];
    if (text === undefined) throw new Error(`Cannot make ${path}: ConfigMap ${name} has no ${key}`);
    return [path, text];
  }));
}

/** Writes files as the kubelet does: links to a folder of this moment, which an update would exchange. */
async function writeFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  const moment = "..2000_01_01_00_00_00.000000000";
  await Deno.mkdir(`${folder}/${moment}`);
  await Deno.symlink(moment, `${folder}/..data`);
  for (const [path, text] of Object.entries(files)) {
    if (path.includes("/")) throw new Error(`Cannot make ${path}: only files without folders are known here`);
    await Deno.writeTextFile(`${folder}/${moment}/${path}`, text);
    await Deno.symlink(`..data/${path}`, `${folder}/${path}`);
  }
}
