/** Runs a program in a host's network namespace and returns what it has printed. */
export type Run = (command: string, ...args: string[]) => Promise<string>;

const FIXTURES = new URL("./flanneld/", import.meta.url);

/** What a real flanneld has left on a host, as the files beside this one say: lines without comments. */
export async function flanneldLeaves(name: string): Promise<string[]> {
  const text = await Deno.readTextFile(new URL(`${name}.txt`, FIXTURES));
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

/**
 * The VTEPs, addresses on them, routes, permanent neighbours and FDB entries of a host as iproute2 prints them, but for
 * what differs each time: numbers of links, and the MACs of VTEPs.
 */
export async function kernelLines(run: Run): Promise<string[]> {
  const links = (await run("ip", "-d", "-o", "link", "show", "type", "vxlan")).split("\n").flatMap((line) => {
    const [, name, flags, mtu, vxlan] =
      /^\d+: (\S+): <(\S+)> mtu (\d+) .*?(vxlan id .*) addrgenmode/.exec(line.replaceAll("\\", "")) ?? [];
    return name === undefined ? [] : [`link ${name} <${flags}> mtu ${mtu} ${vxlan}`];
  });
  const lines = [...links];
  for (const [name] of links.map((line) => [line.split(" ")[1]!])) {
    const addresses = await run("ip", "-o", "address", "show", "dev", name!, "scope", "global");
    // Loden asks for no detection of duplicates, of which flanneld's never finds any.
    lines.push(...prefixed("address", addresses.replace(/^\d+: |\\.*$| nodad\b/gm, "")));
    lines.push(...prefixed(`fdb ${name}`, await run("bridge", "fdb", "show", "dev", name!)));
  }
  for (const family of ["-4", "-6"]) {
    const routes = (await run("ip", family, "route", "show")).replace(/^fe80::.*$/gm, "");
    lines.push(...prefixed("route", routes));
  }
  lines.push(...prefixed("neigh", await run("ip", "neigh", "show", "nud", "permanent")));
  return lines.sort();
}

/** The rules of a host as iptables prints them, or without counters as nft does where its mode is nftables. */
export async function ruleLines(run: Run, mode: "iptables" | "nftables"): Promise<string[]> {
  const texts = mode === "nftables"
    ? [await run("nft", "-s", "list", "ruleset")]
    : [await run("iptables-save"), await run("ip6tables-save")];
  return texts.join("\n").split("\n").map((line) => line.replace(/ \[\d+:\d+\]$/, "").trimEnd())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

function prefixed(word: string, text: string): string[] {
  return text.split("\n").map((line) => line.replaceAll(/\s+/g, " ").trim()).filter((line) => line !== "")
    .map((line) => `${word} ${line}`);
}
