import { Ec2Client } from "../../../src/cloud/aws/ec2_client.ts";

/** What nobody aborts. */
export const OPTIONS = { signal: new AbortController().signal };

/** A client whose calls are answered with these bodies, the last one again and again; and the forms that it has sent. */
export function cannedClient(
  ...answers: readonly (string | Response)[]
): { readonly client: Ec2Client; readonly forms: string[] } {
  const forms: string[] = [];
  const client = new Ec2Client({
    region: "eu-central-1",
    endpoint: "https://ec2.example/",
    credentials: () => Promise.resolve({ accessKeyId: "AKIAX", secretAccessKey: "secret" }),
    fetch: (_, { body }) => {
      const answer = answers[Math.min(forms.length, answers.length - 1)]!;
      forms.push(decodeURIComponent(String(body)).replace(/^Action=(\w+)&Version=[\d-]+/, "$1"));
      return Promise.resolve(typeof answer === "string" ? new Response(answer) : answer.clone());
    },
    random: () => 0,
    pauseMs: 0,
    maxAttempts: 2,
  });
  return { client, forms };
}

/** An answer that is a refusal. */
export function refusal(code: string, message = "no", status = 400): Response {
  return new Response(
    `<Response><Errors><Error><Code>${code}</Code><Message>${message}</Message></Error></Errors></Response>`,
    { status },
  );
}
