/** A parameter of a call: text, number, truth, a list, or an object of such. Absent ones are left out. */
export type FormValue =
  | string
  | number
  | boolean
  | undefined
  | readonly FormValue[]
  | { readonly [name: string]: FormValue };

/** The version of the EC2 API that is spoken. */
export const EC2_VERSION = "2016-11-15";

/**
 * The body of a call of the EC2 query protocol: lists are counted from 1, what an object holds stands behind a dot.
 *
 * @param parameters As the API reference names them: `{ RouteTableId: ["rtb-1"] }` is `RouteTableId.1=rtb-1`.
 *
 * Source: Amazon EC2 API reference, "Making requests to the Amazon EC2 API".
 */
export function ec2Form(action: string, parameters: { readonly [name: string]: FormValue }): string {
  const form = new URLSearchParams({ Action: action, Version: EC2_VERSION });
  for (const [name, value] of Object.entries(parameters)) append(form, name, value);
  return form.toString();
}

function append(form: URLSearchParams, name: string, value: FormValue): void {
  if (value === undefined) return;
  if (typeof value !== "object") return form.append(name, String(value));
  const members = Array.isArray(value)
    ? value.map((one, index): [string, FormValue] => [String(index + 1), one])
    : Object.entries(value);
  for (const [key, member] of members) append(form, `${name}.${key}`, member);
}

/** A filter of a `Describe…` call: what has one of the values passes. */
export function filter(name: string, ...values: readonly string[]): FormValue {
  return { Name: name, Value: values };
}
