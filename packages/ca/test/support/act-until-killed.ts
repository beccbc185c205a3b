// A program that does one act of an authority and kills itself before the step of its store with the
// given number. node act-until-killed.ts HOME ACT STEP ARGUMENT ; prints what it was told, then its steps.
import { writeSync } from "node:fs";
import { DatabaseSync, StatementSync } from "node:sqlite";
import { parseFingerprint } from "@handfast/x509";
import { openAuthorityHome } from "../../src/index.ts";
import type { Authority } from "../../src/index.ts";
import { requestFor } from "./fixtures.ts";

type Functions = Record<string, (...all: unknown[]) => unknown>;

const [home = "", act = "", step = "", argument = ""] = process.argv.slice(2);
const requester = "local:test";
const acts: Record<string, (authority: Authority) => Promise<string>> = {
  issue: async (authority) => (await authority.issue(requestFor(argument))).certificate.fingerprint,
  renew: async (authority) => {
    const { certificate, publicKey } = JSON.parse(argument) as Record<string, string>;
    const renewed = await authority.renew({
      certificate: parseFingerprint(certificate ?? ""),
      publicKey: Buffer.from(publicKey ?? "", "base64"),
      requester,
    });
    return renewed.certificate.fingerprint;
  },
  enrol: async (authority) => {
    const { token, request = "" } = JSON.parse(argument) as Record<string, string>;
    const enrolled = await authority.enrol({
      token: token ?? "",
      audience: "https://ca.example",
      request: Buffer.from(request, "base64"),
    });
    return enrolled.certificate.fingerprint;
  },
  revoke: async (authority) => {
    const certificate = parseFingerprint(argument);
    const revoked = await authority.revoke({ certificate, reason: "superseded", requester });
    return String(revoked.length);
  },
  crl: async (authority) => String((await authority.publishCrls({ role: "issuing" }))[0]?.number),
};

const authority = await openAuthorityHome(home);
await authority.bundle(); // what is done at the first need only is not of interest
let steps = 0;
for (const name of ["run", "get", "all"]) countCalls(StatementSync.prototype, name);
countCalls(DatabaseSync.prototype, "exec");
const told = await acts[act]?.(authority);
writeSync(1, JSON.stringify({ told, steps }));
process.kill(process.pid, "SIGKILL");

function countCalls(owner: object, name: string): void {
  const functions = owner as Functions;
  const original = functions[name];
  if (original === undefined) throw new TypeError(`${name} is not there`);
  functions[name] = function counted(this: unknown, ...all: unknown[]): unknown {
    if (steps === Number(step)) process.kill(process.pid, "SIGKILL");
    steps += 1;
    return original.apply(this, all);
  };
}
