import type { PassReport } from "../reconcile/report.ts";

/** The hosts that claim what this host claims. */
export function rivalsIn({ faults }: PassReport): readonly string[] {
  return faults.filter(({ isContest }) => isContest).map(({ host }) => host);
}

/**
 * Calls `changed` when other peers are left out than before, and `met` when there are rivals among them: the host that
 * came later gives way, where that can be, as a clone takes another MAC.
 */
export function followRivals(
  deps: { readonly changed: () => void; readonly met: () => void },
): (report: PassReport) => void {
  let last: PassReport["faults"] | undefined;
  return (report) => {
    if (report.faults === last) return;
    last = report.faults;
    deps.changed();
    if (rivalsIn(report).length > 0) deps.met();
  };
}
