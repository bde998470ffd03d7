/**
 * What `deno lint` holds source files to, beside its own rules.
 *
 * @module
 */

/** A function is read on one screen. */
const MAX_FUNCTION_LINES = 80;

const plugin: Deno.lint.Plugin = {
  name: "loden",
  rules: {
    "short-function": {
      create(context) {
        const isTest = /\/tests\/|_test\.ts$/.test(context.filename);
        const check = (node: Deno.lint.Node) => {
          if (isTest) return;
          const { text } = context.sourceCode;
          const lines = text.slice(...node.range).split("\n").length;
          if (lines <= MAX_FUNCTION_LINES) return;
          const end = text.indexOf("\n", node.range[0]);
          context.report({
            range: [node.range[0], end],
            message: `This function has ${lines} lines: at most ${MAX_FUNCTION_LINES}`,
            hint: "Cut it where its subject ends.",
          });
        };
        return { FunctionDeclaration: check, FunctionExpression: check, ArrowFunctionExpression: check };
      },
    },
  },
};

export default plugin;
