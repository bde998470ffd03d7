/** What an answer is made of. A list becomes `item` elements; what is `undefined` is left out. */
export type XmlValue =
  | string
  | number
  | boolean
  | Date
  | undefined
  | readonly XmlValue[]
  | { readonly [name: string]: XmlValue };

const ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** One element with all that is in it, in the order of the members; an empty list is an empty element. */
export function toXml(name: string, value: XmlValue): string {
  if (value === undefined) return "";
  const inner = innerXml(value);
  return inner === "" ? `<${name}/>` : `<${name}>${inner}</${name}>`;
}

/** What stands inside an element. */
export function innerXml(value: XmlValue): string {
  if (value === undefined) return "";
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map((item) => toXml("item", item)).join("");
  if (typeof value === "object") {
    return Object.entries(value).map(([name, member]) => toXml(name, member)).join("");
  }
  return String(value).replaceAll(/[&<>"]/g, (character) => ESCAPES[character]!);
}
