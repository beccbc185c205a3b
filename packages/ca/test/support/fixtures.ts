import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import {
  CaError,
  createAuthority,
  establishAuthority,
  openSqliteStore,
  parseServiceName,
  serviceNames,
} from "../../src/index.ts";
import type {
  AuditTrail,
  Authority,
  EstablishOptions,
  IssueRequest,
  KeyStore,
  Store,
} from "../../src/index.ts";
import { generateKeyPair } from "@handfast/x509";
import type { KeyObject } from "node:crypto";

/** A folder that is gone after the test. */
export function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "handfast-ca-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A new, empty store in a file of its own, closed after the test. */
export function temporaryStore(context: TestContext): { store: Store; path: string } {
  const path = join(temporaryFolder(context), "authority.db");
  const store = openSqliteStore({ path, missing: "create" });
  context.after(() => store.close());
  return { store, path };
}

/** Keys in memory, and a list of those that were asked for. */
export function memoryKeys(): KeyStore & {
  readonly loaded: string[];
  /** Puts another key in the place of one, as no key store would. */
  replace(name: string, key: KeyObject): void;
} {
  const keys = new Map<string, KeyObject>();
  const loaded: string[] = [];
  return {
    loaded,
    async load(name): Promise<KeyObject> {
      loaded.push(name);
      const key = keys.get(name);
      if (key === undefined) throw new CaError("KEY_NOT_FOUND", `the test has no key ${name}`);
      return key;
    },
    replace: (name, key) => void keys.set(name, key),
    async save(name, key): Promise<void> {
      if (keys.has(name)) throw new CaError("KEY_EXISTS", `the test has a key ${name} already`);
      keys.set(name, key);
    },
  };
}

/** A clock that stands still until a test moves it. */
export interface TestClock {
  now: Date;
}

export interface TestAuthority {
  readonly authority: Authority;
  readonly store: Store;
  readonly path: string;
  readonly keys: ReturnType<typeof memoryKeys>;
  readonly clock: TestClock;
}

/** An authority on a store and keys of its own; its clock stands at noon of a day in 2026. */
export async function temporaryAuthority(
  context: TestContext,
  {
    start = noon,
    audit,
    ...options
  }: Partial<EstablishOptions> & { readonly start?: Date; readonly audit?: AuditTrail } = {},
): Promise<TestAuthority> {
  const { store, path } = temporaryStore(context);
  const keys = memoryKeys();
  const clock = { now: start };
  await establishAuthority({
    store,
    keys,
    trustDomain: "handfast.internal",
    requester: "local:test",
    clock: () => clock.now,
    ...options,
  });
  const authority = await createAuthority({
    store,
    keys,
    clock: () => clock.now,
    ...(audit && { audit }),
  });
  return { authority, store, path, keys, clock };
}

/** A request for a service of a name, with a key of its own. */
export function requestFor(name: string, changes: Partial<IssueRequest> = {}): IssueRequest {
  return {
    publicKey: generateKeyPair().publicKey,
    subject: { commonName: name },
    names: serviceNames(parseServiceName(name), { trustDomain: "handfast.internal" }),
    requester: "local:test",
    ...changes,
  };
}

/** For `assert.rejects` and `assert.throws`: the code, and words of the message. */
export function refusal(code: string, message: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof Error &&
    (error as { code?: unknown }).code === code &&
    message.test(error.message);
}

const noon = new Date("2026-03-01T12:00:00Z");
