import { readText } from "../../file/read_text.ts";
import { statIfThere } from "../../file/read_file.ts";
import { Ethtool } from "../../linux/ethtool.ts";
import { Libc } from "../../linux/libc.ts";
import type { ChangeList } from "../../model/host_plan.ts";
import { LITTLE_ENDIAN } from "../../linux/byte_order.ts";
import { NetlinkClient, type WriteRequest } from "../../netlink/client.ts";
import { type MessageReader, MessageWriter } from "../../netlink/message.ts";
import type { NetlinkTransport } from "../../netlink/socket.ts";
import { sysctlName } from "../../host/sysctl_checks.ts";
import { FileFights } from "../file_fights.ts";

// Doors to the kernel and to files for a dry run: what is read is what is there, what is written is written down.

/** Where changes are written down. */
export type Changes = Pick<ChangeList, "add">;

/** Of a file's text so much is compared. */
const MAX_FILE_BYTES = 1 << 20;
/** So many lines of a file are told. */
const TOLD_LINES = 8;
/** In `nlmsg_type` of rtnetlink(7): its last two bits say new, delete, get or set. */
const [KIND_MASK, KIND_GET] = [3, 2];

/** Asks route netlink, and writes down what it is told to change, by the words of who tells it. */
export class DryClient extends NetlinkClient {
  readonly #noted: (action: string) => void;

  constructor(transport: NetlinkTransport, noted: (action: string) => void) {
    super(transport);
    this.#noted = noted;
  }

  override request(action: string, write: WriteRequest, each?: (message: MessageReader) => void): void {
    if (isQuestion(write)) return super.request(action, write, each);
    this.#noted(action);
  }

  override batch(count: number): void {
    throw new Error(`Cannot make ${count} changes in a dry run: they have no words`);
  }

  override transaction(action: string): void {
    this.#noted(action);
  }
}

function isQuestion(write: WriteRequest): boolean {
  const writer = new MessageWriter();
  write(writer, 0);
  const { bytes } = writer;
  const type = new DataView(bytes.buffer, bytes.byteOffset).getUint16(4, LITTLE_ENDIAN);
  return (type & KIND_MASK) === KIND_GET;
}

/** What setting one sysctl sets beside it, as the kernel does: `devinet_conf_proc()`, `addrconf_fixup_forwarding()`. */
const SETS_ALL: Readonly<Record<string, RegExp>> = {
  "net/ipv4/ip_forward": /^net\/ipv4\/conf\/[^/]+\/forwarding$/,
  "net/ipv6/conf/all/forwarding": /^net\/ipv6\/conf\/[^/]+\/forwarding$/,
};
/** A sysctl's path below the folder that it is written in. */
const SYSCTL = /^(?:\/host)?\/proc\/sys\/(.*)$/;
const OF_LINK = /^(net\/ipv[46]\/conf\/)([^/]+)(\/.*)$/;

/** Reads sysctls, and writes down those that are set; of a link that is to be made it reads what new ones get. */
export class DryLibc extends Libc {
  readonly #list: Changes;
  readonly #created: readonly string[];
  readonly #set = new Map<string, string>();

  constructor(list: Changes, created: readonly string[]) {
    super();
    this.#list = list;
    this.#created = created;
  }

  override readSysctl(path: string): string {
    const [, below] = SYSCTL.exec(path) ?? [];
    if (below === undefined) return super.readSysctl(path);
    const set = this.#set.get(below) ?? this.#followed(below);
    if (set !== undefined) return set;
    const [, before, link, after] = OF_LINK.exec(below) ?? [];
    if (link === undefined || !this.#created.includes(link)) return super.readSysctl(path);
    return this.readSysctl(`/proc/sys/${before}default${after}`);
  }

  #followed(below: string): string | undefined {
    for (const [path, value] of this.#set) if (SETS_ALL[path]?.test(below)) return value;
    return undefined;
  }

  override writeSysctl(path: string, value: string): void {
    const was = this.readSysctl(path);
    const [, below = path] = SYSCTL.exec(path) ?? [];
    this.#set.set(below, value);
    this.#list.add({ kind: "setting", object: `setting ${sysctlName(below)}`, was, becomes: value });
  }
}

/** Asks ethtool, and writes down what is turned on and off; a link that is to be made has what new ones get. */
export class DryEthtool extends Ethtool {
  readonly #list: Changes;
  readonly #created: readonly string[];
  readonly #set = new Map<string, boolean>();

  constructor(libc: Libc, fd: number, list: Changes, created: readonly string[]) {
    super(libc, fd);
    this.#list = list;
    this.#created = created;
  }

  override hasTxChecksum(linkName: string): boolean {
    return this.#set.get(linkName) ?? (this.#created.includes(linkName) || super.hasTxChecksum(linkName));
  }

  override setTxChecksum(linkName: string, isOn: boolean): void {
    const words = (value: boolean) => value ? "on" : "off";
    const was = words(this.hasTxChecksum(linkName));
    this.#set.set(linkName, isOn);
    const object = `offload ${linkName} tx-checksumming`;
    this.#list.add({ kind: "offload", object, was, becomes: words(isOn) });
  }
}

/** Compares files, and writes down those that would be written. */
export class DryFiles extends FileFights {
  readonly #list: Changes;

  constructor(list: Changes) {
    super(() => 0);
    this.#list = list;
  }

  override keep(path: string, text: string): boolean {
    listFile(path, text, this.#list);
    return false;
  }
}

/** Says how a file would be another one, by its lines; nothing if it says the same. */
export function listFile(path: string, text: string, list: Changes): void {
  const object = `file ${path}`;
  const kind = "file";
  const there = statIfThere(path);
  if (there === undefined) return list.add({ kind, object, becomes: told(linesOf(text)) });
  let before: string;
  try {
    before = readText(path, MAX_FILE_BYTES);
  } catch {
    return list.add({ kind, object, was: "what can't be read", becomes: told(linesOf(text)) });
  }
  if (before === text) return;
  const [old, fresh] = [linesOf(before), linesOf(text)];
  const [gone, come] = [
    old.filter((line) => !fresh.includes(line)),
    fresh.filter((line) => !old.includes(line)),
  ];
  list.add({ kind, object, was: told(gone), becomes: told(come) });
}

function linesOf(text: string): string[] {
  return text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
}

function told(lines: readonly string[]): string {
  const more = lines.length - TOLD_LINES;
  return lines.slice(0, TOLD_LINES).join("; ") + (more > 0 ? `; and ${more} more lines` : "");
}
