import { AwsError, invalidValue } from "./aws_error.ts";
import type { Tags } from "./resources.ts";

/** One `Filter.N` of a Describe action. */
export interface Filter {
  readonly name: string;
  readonly values: readonly string[];
}

/** The parameters of one request in the EC2 query protocol: flat names, lists numbered from 1. */
export class Query {
  readonly #parameters: ReadonlyMap<string, string>;

  constructor(parameters: Iterable<readonly [string, string]>) {
    this.#parameters = new Map(parameters);
  }

  /** The first part of each name: `Filter` of `Filter.1.Name`. */
  get names(): ReadonlySet<string> {
    return new Set([...this.#parameters.keys()].map((name) => name.split(".")[0]!));
  }

  text(name: string): string | undefined {
    return this.#parameters.get(name);
  }

  /** @throws {AwsError} If it is not there. */
  required(name: string): string {
    const text = this.text(name);
    if (text === undefined || text === "") {
      const own = name[0]!.toLowerCase() + name.slice(1);
      throw new AwsError("MissingParameter", `The request must contain the parameter ${own}`);
    }
    return text;
  }

  flag(name: string): boolean | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (!/^(?:true|false)$/i.test(text)) {
      throw invalidValue(`Value (${text}) for parameter ${name} is invalid. It is not a boolean.`);
    }
    return text.toLowerCase() === "true";
  }

  integer(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (!/^\d+$/.test(text)) {
      throw invalidValue(`Value (${text}) for parameter ${name} is invalid. It is not an integer.`);
    }
    return Number(text);
  }

  /** `NAME.1`, `NAME.2` and so on, in the order of their numbers. */
  list(name: string): readonly string[] {
    return this.#numbersOf(name).flatMap((number) => this.text(`${name}.${number}`) ?? []);
  }

  /** The structures `NAME.1.…`, each as a query of its own. */
  structures(name: string): readonly Query[] {
    return this.#numbersOf(name).map((number) => {
      const prefix = `${name}.${number}.`;
      return new Query(
        [...this.#parameters].filter(([full]) => full.startsWith(prefix))
          .map(([full, value]) => [full.slice(prefix.length), value]),
      );
    });
  }

  get filters(): readonly Filter[] {
    return this.structures("Filter").map((one) => ({
      name: one.required("Name"),
      values: one.list("Value"),
    }));
  }

  /** `Tag.N.Key` and `Tag.N.Value`. */
  get tags(): Tags {
    return Object.fromEntries(
      this.structures("Tag").map((one) => [one.required("Key"), one.text("Value") ?? ""]),
    );
  }

  /** What `TagSpecification.N` says of one kind of resource. */
  tagsFor(resourceType: string): Tags {
    return Object.assign(
      {},
      ...this.structures("TagSpecification").map((one) => {
        const type = one.required("ResourceType");
        if (type !== resourceType) throw invalidValue(`'${type}' is not a valid taggable resource type.`);
        return one.tags;
      }),
    );
  }

  #numbersOf(name: string): readonly number[] {
    const numbers = new Set<number>();
    for (const full of this.#parameters.keys()) {
      if (!full.startsWith(`${name}.`)) continue;
      const number = Number(full.slice(name.length + 1).split(".")[0]);
      if (Number.isInteger(number)) numbers.add(number);
    }
    return [...numbers].sort((a, b) => a - b);
  }
}
