import { runDoctor } from "../../../src/command/doctor/doctor.ts";

// The doctor in a process of its own, with the files of a host in another folder: `ROOT FLAG...`.
const [root, ...args] = Deno.args;
const print = (line: string) => void Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
const { signal } = new AbortController();
const isWell = await runDoctor(args, { environment: Deno.env.toObject(), print }, { signal, root: root! });
Deno.exit(isWell ? 0 : 1);
