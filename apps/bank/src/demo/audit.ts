import assert from "node:assert/strict";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import type { World } from "./world.ts";

/** The text of the first decision in our bank's audit file of which this is true, as it stands there. */
export async function auditRecord(
  world: World,
  matches: (fields: Readonly<Record<string, unknown>>) => boolean,
): Promise<string> {
  const deadline = performance.now() + timeoutMs;
  // Records are written behind the calls, a moment later.
  for (; performance.now() < deadline; await pause(20)) {
    const found = decisionsIn(readFileSync(world.auditFile)).find(({ fields }) => matches(fields));
    if (found !== undefined) return found.text;
  }
  throw new Error(`the decision was not recorded within ${timeoutMs} ms`);
}

/** Every decision is on record, across the crash; and one letter changed is seen. */
export async function verifyAudit(world: World): Promise<void> {
  const { narrator, auditFile } = world;
  narrator.step("The record of every decision");
  await world.bank().end("SIGTERM");
  const key = await world.quietly(["audit", "key", `${auditFile}-key.pem`]);
  assert.equal(key.exitCode, 0, key.stderr);
  const keyFile = `${auditFile}.pub`;
  writeFileSync(keyFile, key.stdout);
  const altered = `${auditFile}-altered`;
  copyFileSync(auditFile, altered);
  const bytes = readFileSync(altered);
  bytes.write("bob", bytes.indexOf("kiosk"));
  writeFileSync(altered, bytes);

  const verify = (file: string) => world.quietly(["audit", "verify", file, "--key", keyFile]);
  const [sound, changed] = await Promise.all([verify(auditFile), verify(altered)]);
  narrator.show("$ handfast audit verify ours.audit --key audit.pub");
  narrator.show(sound.stdout.replaceAll(auditFile, "ours.audit"));
  assert.equal(sound.exitCode, 0, sound.stderr);
  assert.match(sound.stdout, /records are as they were written/);
  narrator.proven("the record is whole and signed, across kill -9 too");
  assert.equal(changed.exitCode, 1, "a record that was changed went unnoticed");
  narrator.show(changed.stderr.replaceAll(altered, "altered.audit"));
  narrator.proven("in a copy, one name was changed: it shows");
}

/** The bodies of the records are JSON between a few binary bytes. */
function decisionsIn(file: Buffer): { text: string; fields: Readonly<Record<string, unknown>> }[] {
  return [
    ...file.toString("latin1").matchAll(/\{"fields":\{[^{}]*\},"kind":"decision"[^{}]*\}/g),
  ].map(([text]) => ({
    text,
    fields: (JSON.parse(text) as { fields: Record<string, unknown> }).fields,
  }));
}

const timeoutMs = 5_000;
