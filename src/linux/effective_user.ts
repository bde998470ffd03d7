// uid_t geteuid(void)
const SYMBOLS = {
  geteuid: { parameters: [], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The user that this process acts as. The library is opened for this one call, which few processes make. */
export function effectiveUser(): number {
  const library = Deno.dlopen("libc.so.6", SYMBOLS);
  try {
    return library.symbols.geteuid();
  } finally {
    library.close();
  }
}
