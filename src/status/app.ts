import { Hono } from "hono";
import { printableIn } from "../log/printable.ts";
import { isReady, sentencesOf } from "../model/condition.ts";
import type { Severity } from "../model/reason.ts";
import type { StatusDeps } from "./facts.ts";
import { oneLine, statusReport } from "./status_report.ts";

/** `/healthz` and `/readyz` as flanneld answers them, with the reasons behind its words; `/status`; `/metrics`. */
export function statusApp(current: () => StatusDeps): Hono {
  const app = new Hono();
  app.all("/healthz", () => plainText(200, "flanneld is running"));
  app.all("/readyz", () => {
    const conditions = current().conditions();
    const said = (severity: Severity) => sentencesOf(severity, conditions).map(oneLine);
    if (isReady(conditions)) return plainText(200, ["flanneld is ready", ...said("degraded")].join("\n"));
    return plainText(503, ["flanneld is not ready yet", ...said("blocking")].join("\n"));
  });
  app.get("/metrics", async ({ req }) => {
    // Most clusters ask for metrics; those that do not, need not load it.
    const { answerScrape } = await import("./metrics.ts");
    return answerScrape(current(), req.header("accept"));
  });
  app.get("/status", (context) => context.json(printableIn(statusReport(current())) as object));
  app.notFound(() => plainText(404, "404 page not found"));
  app.onError(() => plainText(500, "500 internal error"));
  return app;
}

/** Answers with flanneld's very header; Hono spells it otherwise. */
function plainText(status: number, text: string, type = "text/plain; charset=utf-8"): Response {
  return new Response(text, { status, headers: { "content-type": type } });
}
