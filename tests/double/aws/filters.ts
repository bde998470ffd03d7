import { AwsError, invalidValue } from "./aws_error.ts";
import type { Tags } from "./resources.ts";
import type { Filter, Query } from "./query.ts";

/** What can be asked of one kind of resource, by the name of the filter; `undefined` values are none. */
export type FilterTable<T> = Readonly<
  Record<string, (resource: T) => readonly (string | number | boolean | undefined)[]>
>;

/** Reports whether `text` fits a pattern with `*` and `?`. */
export function isLike(text: string, pattern: string): boolean {
  const source = pattern.replaceAll(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  return new RegExp(`^${source}$`, "s").test(text);
}

/**
 * Reports whether a resource passes all filters: one of the values of each.
 *
 * @throws {AwsError} If a filter is not one of this resource's.
 */
export function passes<T extends { readonly tags: Tags }>(
  resource: T,
  filters: readonly Filter[],
  table: FilterTable<T>,
): boolean {
  return filters.map(({ name, values }) => {
    const found = valuesOf(resource, name, table);
    return values.some((value) => found.some((text) => isLike(text, value)));
  }).every(Boolean);
}

function valuesOf<T extends { readonly tags: Tags }>(
  resource: T,
  name: string,
  table: FilterTable<T>,
): readonly string[] {
  if (name.startsWith("tag:")) {
    const value = resource.tags[name.slice("tag:".length)];
    return value === undefined ? [] : [value];
  }
  if (name === "tag-key") return Object.keys(resource.tags);
  if (!Object.hasOwn(table, name)) throw invalidValue(`The filter '${name}' is invalid`);
  return table[name]!(resource).filter((value) => value !== undefined).map(String);
}

/** How a Describe action is cut into pages. */
export interface Paging {
  /** The parameter with the ids of what is asked for, which goes with no page. */
  readonly ids: string;
  readonly max: number;
  /** Cut first and filter then, so that a page may be empty and yet have a next one. */
  readonly isCutFirst: boolean;
}

/** The least `MaxResults`. */
const MIN_RESULTS = 5;
const TOKEN_PREFIX = "page:";

/** One page of what passes, and the token that the next is asked for with. */
export function pageOf<T>(
  query: Query,
  all: readonly T[],
  isWanted: (resource: T) => boolean,
  { ids, max, isCutFirst }: Paging,
): { readonly page: readonly T[]; readonly nextToken: string | undefined } {
  // Each is asked, so that a filter that does not exist is an error on an empty account too.
  const wanted = all.filter(isWanted);
  const size = query.integer("MaxResults");
  const token = query.text("NextToken");
  if (size === undefined && token === undefined) return { page: wanted, nextToken: undefined };
  if (query.list(ids).length > 0) {
    const own = `${ids[0]!.toLowerCase()}${ids.slice(1)}s`;
    throw new AwsError(
      "InvalidParameterCombination",
      `The parameter ${own} cannot be used with the parameter maxResults`,
    );
  }
  if (size !== undefined && (size < MIN_RESULTS || size > max)) {
    const bound = size < MIN_RESULTS ? `greater than ${MIN_RESULTS}` : `less than or equal to ${max}`;
    throw invalidValue(
      `Value ( ${size} ) for parameter maxResults is invalid. Expecting a value ${bound}.`,
    );
  }
  const start = token === undefined ? 0 : startOf(token);
  const end = start + (size ?? max);
  const whole = isCutFirst ? all : wanted;
  const nextToken = end < whole.length ? btoa(`${TOKEN_PREFIX}${end}`) : undefined;
  const page = isCutFirst ? all.slice(start, end).filter(isWanted) : wanted.slice(start, end);
  return { page, nextToken };
}

function startOf(token: string): number {
  let text = "";
  try {
    text = atob(token);
  } catch {
    // It is refused below.
  }
  if (!text.startsWith(TOKEN_PREFIX)) {
    throw new AwsError("InvalidPaginationToken", "The specified pagination token is invalid or has expired.");
  }
  return Number(text.slice(TOKEN_PREFIX.length));
}
