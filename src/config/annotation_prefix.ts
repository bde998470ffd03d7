/** A domain with at least one dot, a slash, and perhaps a word with a hyphen at its end. */
const PREFIX = /^(?:[a-z0-9_-]+\.)+[a-z0-9_-]+\/(?:[a-z0-9_-]+-)?$/;

/**
 * Completes `-kube-annotation-prefix` as flannel does: `example.com` is `example.com/`, `example.com/blue` is
 * `example.com/blue-`.
 *
 * @returns `undefined` if it can't begin the key of an annotation.
 */
export function completeAnnotationPrefix(text: string): string | undefined {
  const withSlash = text.includes("/") ? text : `${text}/`;
  const prefix = /[/-]$/.test(withSlash) ? withSlash : `${withSlash}-`;
  return PREFIX.test(prefix) ? prefix : undefined;
}
