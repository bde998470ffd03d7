/** Alert rules, as Prometheus reads them. */
export interface RuleFile {
  readonly groups: readonly {
    readonly name: string;
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly for?: string;
      readonly labels: Readonly<Record<string, string>>;
      readonly annotations: Readonly<Record<string, string>>;
    }[];
  }[];
}

/** What is looked at of a dashboard of Grafana. */
export interface Dashboard {
  readonly panels: readonly {
    readonly type: string;
    readonly title: string;
    readonly description?: string;
    readonly gridPos: Readonly<Record<"x" | "y" | "w" | "h", number>>;
    readonly targets?: readonly { readonly expr: string }[];
  }[];
}

/** All expressions of both. */
export function expressionsOf(rules: RuleFile, { panels }: Dashboard): string[] {
  return [
    ...rules.groups.flatMap(({ rules }) => rules.map(({ expr }) => expr)),
    ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ];
}

/** The metrics that an expression is about. */
export function metricNames(expression: string): string[] {
  const bare = expression.replaceAll(/\{[^}]*\}/g, "");
  return [...new Set(bare.match(/\b(?:loden|process)_[a-z_]+|\bup\b/g) ?? [])];
}
