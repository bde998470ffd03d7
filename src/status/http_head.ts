/** What of a request's head is of use. */
export interface RequestLine {
  readonly method: string;
  /** Path and query, or a whole URL, as it was sent. */
  readonly target: string;
  /** What the client takes, as its header `Accept` says it; absent where it has none. */
  readonly accept?: string;
}

/** A head that can't be served, and the status that says so. */
export interface RefusedHead {
  readonly refused: 400 | 421 | 431 | 505;
}

/** Longer heads are refused: browsers send some hundred bytes. */
export const MAX_HEAD_BYTES = 8192;

/** One in the target, and one in the head (RFC 9112, section 3.2). */
const MAX_HOSTS = 2;
const LF = 10;
const CR = 13;
/** Method, target and version of RFC 9112, section 3. */
const ACCEPT = /^accept:[ \t]*([^\r\n]{1,1024})/im;
const HOSTS = /^host:[ \t]*([^\r\n]*)/gim;
/** What says nothing but that somebody is there, to whoever asks by whatever name. */
const FOR_ALL = "/healthz";
const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (\S+) HTTP\/(\d)\.\d$/;

/**
 * Reads the head of an HTTP/1 request from what has arrived so far. Of its fields two are of use here; the others are
 * bounded and passed over.
 *
 * @param isOwnName Whether a `Host` may be this one's, with the target that was asked for; all are, if absent.
 * @returns `undefined` while the head is not whole.
 */
export function readHead(
  bytes: Uint8Array,
  isOwnName: (host: string, target: string) => boolean = () => true,
): RequestLine | RefusedHead | undefined {
  // A client may send an empty line first.
  let start = 0;
  while (bytes[start] === CR || bytes[start] === LF) start++;
  const end = headEnd(bytes, start);
  if (end === undefined) return bytes.length < MAX_HEAD_BYTES ? undefined : { refused: 431 };
  if (end > MAX_HEAD_BYTES) return { refused: 431 };
  const lineEnd = bytes.indexOf(LF, start);
  const head = new TextDecoder("latin1").decode(bytes.subarray(start, end));
  const line = head.slice(0, lineEnd - start).replace(/\r$/, "");
  const [, method, target, version] = REQUEST_LINE.exec(line) ?? [];
  if (method === undefined || target === undefined) return { refused: 400 };
  if (version !== "1") return { refused: 505 };
  const hosts = hostsOf(target, head);
  if (hosts.length > MAX_HOSTS) return { refused: 400 };
  // A client of HTTP/1.0 may say none; browsers always say one.
  if (target !== FOR_ALL && !hosts.every((host) => isOwnName(host, target))) return { refused: 421 };
  const accept = ACCEPT.exec(head.slice(lineEnd - start))?.[1]?.trim();
  return { method, target, ...accept && { accept } };
}

/** What a request is for, by its target if that is a whole URL, and by its head. */
function hostsOf(target: string, head: string): string[] {
  const said = [...head.matchAll(HOSTS)].map(([, host]) => host!.trim());
  if (target.startsWith("/")) return said;
  return [/^[a-z]+:\/\/([^/?#]*)/i.exec(target)?.[1] ?? "", ...said];
}

/** Where the empty line that ends a head ends. */
function headEnd(bytes: Uint8Array, start: number): number | undefined {
  for (let at = bytes.indexOf(LF, start); at !== -1; at = bytes.indexOf(LF, at + 1)) {
    const next = bytes[at + 1] === CR ? at + 2 : at + 1;
    if (bytes[next] === LF) return next + 1;
  }
  return undefined;
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  404: "Not Found",
  421: "Misdirected Request",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
  505: "HTTP Version Not Supported",
};

/** No page of another origin reads an answer, as no field lets it; nor takes it for a script, or shows it in a frame. */
const FOR_BROWSERS = [["x-content-type-options", "nosniff"], ["x-frame-options", "DENY"]] as const;

/** An answer's head, after which the connection ends. */
export function formatHead(status: number, headers: Headers, bodyBytes: number): string {
  const fields = [...headers].filter(([name]) => name !== "content-length" && name !== "connection");
  const lines = [...fields, ...FOR_BROWSERS, ["content-length", bodyBytes], [
    "date",
    new Date().toUTCString(),
  ], [
    "connection",
    "close",
  ]].map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n${lines.join("")}\r\n`;
}
