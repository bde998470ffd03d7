import { assert, assertEquals } from "@std/assert";
import { parse } from "yaml";
import { dashboardText } from "../../.ci/dashboard.ts";
import { REASONS } from "../../src/model/reasons.ts";
import { metricFamilies } from "../../src/status/metrics.ts";
import { WHOLE } from "../double/whole_figures.ts";
import { type Dashboard, expressionsOf, metricNames, type RuleFile } from "../double/observability.ts";

const ROOT = new URL("../../", import.meta.url);
const FOLDER = new URL("manifests/observability/", ROOT);
const REPOSITORY = "https://github.com/loden/loden/blob/main/";

const rules = parse(await Deno.readTextFile(new URL("alerts.yml", FOLDER))) as RuleFile;
const dashboard = JSON.parse(
  await Deno.readTextFile(new URL("dashboard.json", FOLDER).pathname),
) as Dashboard;

async function promtool(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("promtool", { args, stdin: "null" }).output();
  return code === 0 ? "" : new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

Deno.test("the dashboard is the one that its table makes", async () => {
  const file = new URL("dashboard.json", FOLDER);
  if (Deno.env.get("LODEN_WRITE") === "1") await Deno.writeTextFile(file, dashboardText());
  assertEquals(
    await Deno.readTextFile(file),
    dashboardText(),
    "LODEN_WRITE=1 deno test -A tests/manifests/observability_test.ts writes it anew",
  );
});

Deno.test("the alert rules are as promtool asks", async () => {
  assertEquals(await promtool("check", "rules", new URL("alerts.yml", FOLDER).pathname), "");
});

Deno.test("each alert fires when it must, and no longer", async () => {
  assertEquals(await promtool("test", "rules", new URL("alerts.yml", import.meta.url).pathname), "");
  const tested = await Deno.readTextFile(new URL("alerts.yml", import.meta.url));
  for (const { alert } of rules.groups.flatMap(({ rules }) => rules)) assert(tested.includes(alert), alert);
});

Deno.test("the PrometheusRule has the rules of the file", async () => {
  const object = parse(await Deno.readTextFile(new URL("prometheus-rule.yml", FOLDER)));
  assertEquals(object.kind, "PrometheusRule");
  assertEquals(object.spec, rules);
});

Deno.test("each alert says what is, and where it is written what to do", async () => {
  for (const { alert, annotations, labels } of rules.groups.flatMap(({ rules }) => rules)) {
    const { summary, description, runbook_url } = annotations;
    assert(/^Loden[A-Z]/.test(alert) && summary && description, alert);
    assert(["critical", "warning"].includes(labels["severity"]!), alert);
    assert(runbook_url!.startsWith(REPOSITORY), runbook_url);
    const [path, anchor] = runbook_url!.slice(REPOSITORY.length).split("#") as [string, string];
    const page = await Deno.readTextFile(new URL(path, ROOT));
    const anchors = anchor.includes("$labels.code") ? Object.keys(REASONS) : [anchor];
    for (const each of anchors) assert(page.includes(`<a id="${each}"></a>`), `${path} has no ${each}`);
  }
});

Deno.test("each expression of rules and dashboard is about metrics that there are", () => {
  const families = metricFamilies(WHOLE, 0).filter(({ samples }) => samples.length > 0);
  const known = new Set(
    families.flatMap(({ name, type }) =>
      type === "histogram"
        ? [`${name}_bucket`, `${name}_sum`, `${name}_count`]
        : type === "summary"
        ? [`${name}_sum`, `${name}_count`]
        : [name]
    ),
  );
  const expressions = expressionsOf(rules, dashboard);
  assert(expressions.length > 40, `${expressions.length} expressions`);
  for (const expression of expressions) {
    const names = metricNames(expression);
    assert(names.length > 0, `${expression} is about nothing`);
    assertEquals(names.filter((name) => !known.has(name) && name !== "up"), [], expression);
  }
});

Deno.test("the panels of the dashboard overlap nowhere, and each says what it shows", () => {
  const cells = new Set<string>();
  for (const { gridPos: { x, y, w, h }, type, title, description } of dashboard.panels) {
    assert(title !== "" && (type === "row" || description !== ""), title);
    for (let column = x; column < x + w; column++) {
      for (let row = y; row < y + h; row++) {
        assert(!cells.has(`${column} ${row}`), `${title} lies over another panel`);
        cells.add(`${column} ${row}`);
      }
    }
  }
});
