/**
 * `@std/testing/bdd`, as far as tests here use it: the standard library is at JSR alone, which not every machine
 * reaches. Names and signatures are the original's, so that a line of import_map.json takes that instead.
 *
 * @module
 */

type Body = (t: Deno.TestContext) => void | Promise<void>;
type Hook = () => void | Promise<void>;

interface Suite {
  readonly before: Hook[];
  readonly after: Hook[];
  readonly cases: (readonly [name: string, body: Body])[];
}

let described: Suite | undefined;

/** Registers a test, whose steps are what `body` says with `it()`. */
export function describe(name: string, body: () => void): void {
  if (described !== undefined) throw new Error(`Cannot describe ${name}: it is within another description`);
  const suite: Suite = { before: [], after: [], cases: [] };
  described = suite;
  try {
    body();
  } finally {
    described = undefined;
  }
  Deno.test(name, async (t) => {
    for (const [caseName, run] of suite.cases) await t.step(caseName, (step) => runCase(suite, run, step));
  });
}

/** Registers a step of the test around it. */
export function it(name: string, body: Body): void {
  suiteOf("it").cases.push([name, body]);
}

/** Registers what is done before each step. */
export function beforeEach(hook: Hook): void {
  suiteOf("beforeEach").before.push(hook);
}

/** Registers what is done after each step, also after one that has failed. */
export function afterEach(hook: Hook): void {
  suiteOf("afterEach").after.push(hook);
}

function suiteOf(name: string): Suite {
  if (described === undefined) throw new Error(`Cannot call ${name}(): it is outside of describe()`);
  return described;
}

async function runCase({ before, after }: Suite, body: Body, step: Deno.TestContext): Promise<void> {
  for (const hook of before) await hook();
  try {
    await body(step);
  } finally {
    for (const hook of after) await hook();
  }
}
