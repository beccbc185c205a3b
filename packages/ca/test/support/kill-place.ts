import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { encodePrivateKey } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestAuthority } from "@handfast/x509/testing";
import { placeInDirectory, placeInFile } from "../../src/index.ts";
import type { CredentialPlace, PresentCredential } from "../../src/index.ts";
import { leafIn } from "./agents.ts";
import { temporaryFolder } from "./fixtures.ts";

/** The places that are files. */
export type PlaceKind = "file" | "directory";

/** A place of a kind in a folder, and its path. */
export function placeOf(kind: PlaceKind, folder: string): { place: CredentialPlace; path: string } {
  const path = join(folder, kind === "file" ? "api.pem" : "api");
  return { path, place: kind === "file" ? placeInFile(path) : placeInDirectory(path) };
}

/** A key and a certificate for it. */
export function pair(name: string): PresentCredential {
  const { certificateChainPem: chainPem, privateKey } = authority.issue({ name });
  return { chainPem, privateKey };
}

/**
 * Has a process put a new pair over an old one and kill itself before a step, for each of the steps
 * (all there are, if none are named): whoever reads finds one of the two pairs, old before the change and new
 * after it, and what is put next is whole.
 */
export async function killAtSteps(
  context: TestContext,
  { kind, steps }: { readonly kind: PlaceKind; readonly steps?: readonly number[] },
): Promise<void> {
  const folder = temporaryFolder(context);
  const { place, path } = placeOf(kind, folder);
  const [old, next] = [pair("old"), pair("next")];
  const input = join(folder, "input.json");
  const key = encodePrivateKey(next.privateKey);
  writeFileSync(input, JSON.stringify({ chainPem: next.chainPem, key }));
  const found: string[] = [];
  for (let step = 0; steps === undefined || step < steps.length; step++) {
    await place.put(old);
    const words = [kind, path, String(steps?.[step] ?? step), input];
    const child = spawn(process.execPath, [...process.execArgv, script, ...words], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
    found.push((await leafIn(place))?.subjectAltNames.dns[0] ?? "nothing");
    if (code === 0) break;
    assert.equal(signal, "SIGKILL");
  }
  const change = found.includes("next") ? found.indexOf("next") : found.length;
  assert.ok(
    found.slice(0, change).every((name) => name === "old"),
    found.join(),
  );
  assert.ok(
    found.slice(change).every((name) => name === "next"),
    found.join(),
  );
  if (steps === undefined) assert.ok(change > 8 && change < found.length, found.join());
  context.diagnostic(`${found.length} steps, the change at ${change}`);
  await place.put(old);
  const left = readdirSync(kind === "file" ? folder : path);
  assert.ok(left.filter((name) => name.startsWith(".pair-")).length <= 2, "cleared away");
}

/** Who has made the pairs. */
export const authority: TestAuthority = createTestAuthority();
const script = fileURLToPath(new URL("kill-place-at-step.ts", import.meta.url));
