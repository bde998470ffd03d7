/** One thing in a configuration that a person must change. */
export interface ConfigFault {
  /** The file, flag or variable that says it. */
  readonly where: string;
  /** The key (`Backend.VNI`) or the place (`line 3 column 5`); empty for the whole. */
  readonly path: string;
  /** What the value must be, and what it is. */
  readonly message: string;
}

/** A configuration can't be used. Holds every fault, not the first. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";

  constructor(readonly faults: readonly ConfigFault[]) {
    const lines = faults.map(({ where, path, message }) =>
      path === "" ? `${where}: ${message}` : `${where}: ${path}: ${message}`
    );
    super(lines.length === 1 ? lines[0] : [`${lines.length} faults:`, ...lines].join("\n  "));
  }
}
