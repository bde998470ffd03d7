/** What asks a process to end: a person, a service manager, a terminal that is closed. */
const END_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * What would end a process by default, and is no reason to: programs of Go, as flanneld, go on after these. SIGQUIT ends
 * both, SIGPIPE no program of Deno.
 */
const IGNORED_SIGNALS = [
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGVTALRM",
  "SIGPROF",
  "SIGIO",
  "SIGPWR",
  "SIGXCPU",
  "SIGXFSZ",
] as const;

/** Aborts on the first signal that asks for the end; the second one takes its default way. */
export function abortOnSignals(stack: DisposableStack): { signal: AbortSignal } {
  const controller = new AbortController();
  const abort = () => {
    for (const name of END_SIGNALS) Deno.removeSignalListener(name, abort);
    controller.abort(new DOMException("The process was asked to end", "AbortError"));
  };
  for (const name of END_SIGNALS) Deno.addSignalListener(name, abort);
  stack.defer(() => {
    if (!controller.signal.aborted) abort();
  });
  return { signal: controller.signal };
}

/** Lets the process go on after signals that mean nothing to it; `told` is told of each. */
export function ignoreSignals(told: (name: string) => void): Disposable {
  using stack = new DisposableStack();
  for (const name of IGNORED_SIGNALS) {
    const hear = () => told(name);
    Deno.addSignalListener(name, hear);
    stack.defer(() => Deno.removeSignalListener(name, hear));
  }
  return stack.move();
}
