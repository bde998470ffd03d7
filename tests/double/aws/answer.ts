import type { Fault } from "./control.ts";

/** What a proxy before a service says when it fails. */
const HTML =
  "<html>\r\n<head><title>$</title></head>\r\n<body>\r\n<center><h1>$</h1></center>\r\n</body>\r\n</html>\r\n";
const FILLER = new TextEncoder().encode("<item/>".repeat(8192));

/** An answer of XML, dated by AWS's clock: clients tell by it how far theirs is off. */
export function xmlAnswer(
  text: string,
  now: number,
  status = 200,
  headers: Record<string, string> = {},
): Response {
  return new Response(`<?xml version="1.0" encoding="UTF-8"?>\n${text}`, {
    status,
    headers: {
      "content-type": "text/xml;charset=UTF-8",
      "date": new Date(now).toUTCString(),
      "server": "AmazonEC2",
      ...headers,
    },
  });
}

/** What comes instead of an answer. */
export function faultAnswer(
  fault: Exclude<Fault, "throttle" | Error>,
  closing: AbortSignal,
): Response | Promise<Response> {
  switch (fault) {
    case "html 500":
      return htmlAnswer("500 Internal Server Error", 500);
    case "html 502":
      return htmlAnswer("502 Bad Gateway", 502);
    case "silence":
      return new Promise((resolve) => {
        const end = () => resolve(new Response(null, { status: 500 }));
        if (closing.aborted) end();
        else closing.addEventListener("abort", end, { once: true });
      });
    case "cut":
    case "lost answer":
      return cutAnswer();
    default:
      return hugeAnswer(fault.hugeBytes);
  }
}

function htmlAnswer(title: string, status: number): Response {
  return new Response(HTML.replaceAll("$", title), { status, headers: { "content-type": "text/html" } });
}

/** Headers and the beginning of a body that has more. */
function cutAnswer(): Response {
  const body = new ReadableStream({
    start: (out) => out.enqueue(new TextEncoder().encode('<?xml version="1.0" encoding="UTF-8"?>\n<Desc')),
    pull: (out) => out.error(new Error("Cannot go on: the answer was to be cut")),
  }, { highWaterMark: 0 });
  return new Response(body, {
    headers: { "content-type": "text/xml;charset=UTF-8", "content-length": "4096" },
  });
}

/** XML that goes on for so long, made while it is read. */
function hugeAnswer(bytes: number): Response {
  let left = bytes;
  const body = new ReadableStream<Uint8Array>({
    start: (out) => out.enqueue(new TextEncoder().encode("<DescribeRouteTablesResponse><routeTableSet>")),
    pull: (out) => {
      out.enqueue(FILLER);
      left -= FILLER.length;
      if (left <= 0) out.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/xml;charset=UTF-8" } });
}
