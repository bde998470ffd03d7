import { isLike } from "./filters.ts";

type OneOrMore = string | readonly string[];

/** One statement of a policy, in the spelling of IAM. */
export interface Statement {
  readonly Sid?: string;
  readonly Effect: "Allow" | "Deny";
  readonly Action: OneOrMore;
  readonly Resource: OneOrMore;
  /** By operator, then by key: `{StringEquals: {"aws:ResourceTag/owner": "loden"}}`. */
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, OneOrMore>>>>;
}

/** A policy document of IAM. */
export interface PolicyDocument {
  readonly Version: "2012-10-17";
  readonly Statement: readonly Statement[];
}

/** What somebody wants to do to one resource. */
export interface Wish {
  /** `ec2:CreateRoute`. */
  readonly action: string;
  /** An ARN, or `*` for what is done to no resource. */
  readonly resource: string;
  /** The keys that conditions may ask for: `aws:ResourceTag/owner`. */
  readonly context: Readonly<Record<string, OneOrMore>>;
}

/** What policies say to a wish; `implicit` is no word about it at all. */
export type Verdict = "allowed" | "explicit deny" | "implicit deny";

const OPERATORS: Readonly<Record<string, (value: string, wanted: string) => boolean>> = {
  StringEquals: (value, wanted) => value === wanted,
  StringEqualsIgnoreCase: (value, wanted) => value.toLowerCase() === wanted.toLowerCase(),
  StringLike: isLike,
  ArnEquals: isLike,
  ArnLike: isLike,
  Bool: (value, wanted) => value.toLowerCase() === wanted.toLowerCase(),
};
/** Each holds where the other one holds for no value. */
const NEGATIVES: Readonly<Record<string, string>> = {
  StringNotEquals: "StringEquals",
  StringNotLike: "StringLike",
  ArnNotEquals: "ArnEquals",
  ArnNotLike: "ArnLike",
};

/** What policies together say to a wish: a Deny wins over any Allow. */
export function judge(policies: readonly PolicyDocument[], wish: Wish): Verdict {
  const fitting = policies.flatMap(({ Statement }) => Statement).filter((one) => fits(one, wish));
  if (fitting.some(({ Effect }) => Effect === "Deny")) return "explicit deny";
  return fitting.length > 0 ? "allowed" : "implicit deny";
}

function fits({ Action, Resource, Condition = {} }: Statement, wish: Wish): boolean {
  const action = wish.action.toLowerCase();
  if (!listOf(Action).some((pattern) => isLike(action, pattern.toLowerCase()))) return false;
  if (!listOf(Resource).some((pattern) => isLike(wish.resource, pattern))) return false;
  return Object.entries(Condition).every(([operator, keys]) =>
    Object.entries(keys).every(([key, wanted]) => holds(operator, wish.context[key], listOf(wanted)))
  );
}

/** @throws {TypeError} If the operator is not known: a policy that is only half understood proves nothing. */
function holds(operator: string, value: OneOrMore | undefined, wanted: readonly string[]): boolean {
  const [, quantity, name, ifExists] = /^(?:(ForAllValues|ForAnyValue):)?(\w+?)(IfExists)?$/.exec(operator) ??
    [];
  const values = value === undefined ? [] : listOf(value);
  if (name === "Null") return wanted.includes(String(value === undefined));
  const isNegative = Object.hasOwn(NEGATIVES, name ?? "");
  const compare = OPERATORS[isNegative ? NEGATIVES[name!]! : name ?? ""];
  if (compare === undefined) {
    throw new TypeError(`Cannot judge by condition operator ${operator}: it is not known`);
  }
  if (value === undefined && ifExists !== undefined) return true;
  const isOne = (one: string) => wanted.some((text) => compare(one, text)) !== isNegative;
  if (quantity === "ForAllValues") return values.every(isOne);
  if (quantity === "ForAnyValue") return values.some(isOne);
  // A key that is not there equals nothing, and so differs from everything.
  return isNegative ? values.every(isOne) : values.some(isOne);
}

function listOf(value: OneOrMore): readonly string[] {
  return typeof value === "string" ? [value] : value;
}
