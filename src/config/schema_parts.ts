import { _default, boolean, custom, NEVER, pipe, string, transform, type ZodMiniType } from "zod/mini";

/** A sentence about a value: what it must be, and what it is. */
export function mustBe(what: string, value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return `must be ${what}, is ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`;
}

/** Text that `parse` understands; `hint` may add to the sentence what else it could be. */
export function parsed<T>(
  what: string,
  parse: (text: string) => T,
  hint: (text: string) => string = () => "",
): ZodMiniType<T, string> {
  return pipe(
    string({ error: (issue) => mustBe(what, issue.input) }),
    transform((text, context): T => {
      try {
        return parse(text);
      } catch {
        context.issues.push({ code: "custom", message: mustBe(what, text) + hint(text), input: text });
        return NEVER;
      }
    }),
  );
}

/** A range, and for what is no number that it is one of numbers. */
export function numbers(range: string, value: unknown): string {
  return typeof value === "number" ? range : `a number, ${range}`;
}

/** A whole number of a range. */
export function integer(minimum: number, maximum: number): ZodMiniType<number, number> {
  return custom<number>(
    (value) => Number.isInteger(value) && value as number >= minimum && value as number <= maximum,
    { error: (issue) => mustBe(numbers(`${minimum} to ${maximum}`, issue.input), issue.input) },
  );
}

/** `true` or `false`; `absent` where there is neither. */
export function truth(absent: boolean): ZodMiniType<boolean, boolean | undefined> {
  return _default(boolean({ error: (issue) => mustBe("true or false", issue.input) }), absent);
}
