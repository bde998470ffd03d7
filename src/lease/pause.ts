/** Waits for `ms`, or until `signal` aborts; whoever waited looks at the signal. */
export async function pause(ms: number, { signal }: { readonly signal: AbortSignal }): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = () => resolve();
  const timer = setTimeout(end, ms);
  signal.addEventListener("abort", end, { once: true });
  await promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", end);
}
