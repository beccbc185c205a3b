import { FilesError, readBounded, watchFile } from "@handfast/files";
import type { CompiledPolicy, CompilePolicyOptions } from "./compile.ts";
import { compilePolicy } from "./compile.ts";
import { parsePolicy } from "./document.ts";
import { PolicyError } from "./errors.ts";
import { maxDocumentBytes } from "./read-json.ts";
import type { ParsePolicyOptions } from "./rules.ts";

/** A policy that may be replaced while it is in use. */
export interface LivePolicy {
  /**
   * The policy in force. Take it once per call: one call is decided, recorded and, if it is still
   * open at a change, decided again, each time by one whole policy.
   */
  readonly current: CompiledPolicy;
  /** Calls `listener` after each replacement, until the function returned is called. */
  onChange(listener: PolicyChangeListener): () => void;
}

/** Told of a replacement: here open calls are decided again (S13). */
export type PolicyChangeListener = (next: CompiledPolicy, previous: CompiledPolicy) => void;

/** A live policy whose owner replaces it. */
export interface ReplaceablePolicy extends LivePolicy {
  /** Puts another policy in force, in one step. Errors of listeners are thrown when all were told. */
  replace(next: CompiledPolicy): void;
}

/** Makes a live policy of one that is in force now. */
export function createLivePolicy(initial: CompiledPolicy): ReplaceablePolicy {
  let current = initial;
  const listeners = new Set<PolicyChangeListener>();
  return {
    get current() {
      return current;
    },
    onChange(listener) {
      // A function of its own, so that the same listener may be added twice.
      const added: PolicyChangeListener = (next, previous) => listener(next, previous);
      listeners.add(added);
      return () => listeners.delete(added);
    },
    replace(next) {
      const previous = current;
      current = next;
      const errors: unknown[] = [];
      for (const listener of listeners) {
        try {
          listener(next, previous);
        } catch (thrown) {
          errors.push(thrown);
        }
      }
      if (errors.length > 0) throw new AggregateError(errors, "listeners of a policy threw");
    },
  };
}

/** What a watched policy file reports. */
export type PolicyFileEvent =
  | {
      readonly type: "policy-replaced";
      readonly next: CompiledPolicy;
      readonly previous: CompiledPolicy;
    }
  /** The file holds no valid policy, or cannot be read; `kept` stays in force. */
  | { readonly type: "policy-refused"; readonly error: PolicyError; readonly kept: CompiledPolicy }
  /** The file was refused, and again holds the policy that is in force. */
  | { readonly type: "policy-mended"; readonly kept: CompiledPolicy }
  /** A listener of the live policy threw; the policy is replaced all the same. */
  | { readonly type: "listener-failed"; readonly error: unknown };

/** How a policy file is read and watched. */
export interface PolicyFileOptions extends ParsePolicyOptions, CompilePolicyOptions {
  /** Told what happens to the file; what it throws is dropped. */
  readonly onEvent?: (event: PolicyFileEvent) => void;
  /** The time between two looks when no event comes. Default 5000. */
  readonly pollMs?: number;
  /** How long the file must be still before it is read. Default 50. */
  readonly debounceMs?: number;
}

/** A policy in force as long as its file holds no other. */
export interface PolicyFile extends LivePolicy {
  /** Looks at the file now. `failed`: it cannot be used, and what was in force stays. */
  reload(): Promise<"unchanged" | "replaced" | "failed">;
  /** Stops watching; the policy stays in force. */
  close(): void;
}

/**
 * Reads a policy from a file, and again whenever the file changes.
 *
 * A change is parsed, compiled and its loggers made before it takes force in one step. An invalid or
 * missing file leaves the last good policy in force, and is reported once.
 *
 * @throws {PolicyError} POLICY_UNREADABLE, POLICY_INVALID: at the start alone
 */
export async function policyFromFile(
  path: string,
  options: PolicyFileOptions = {},
): Promise<PolicyFile> {
  const bytes = await readBounded(path, { maxBytes: maxDocumentBytes }).catch((thrown: unknown) => {
    throw unreadableError(thrown);
  });
  const compile = (source: Uint8Array): CompiledPolicy =>
    compilePolicy(parsePolicy(source, options), options);
  const live = createLivePolicy(compile(bytes));
  let unreadable = false;
  let invalid = false;

  const watch = watchFile(path, {
    maxBytes: maxDocumentBytes,
    initial: bytes,
    onChange: take,
    onRecover() {
      unreadable = false;
      mended();
    },
    onError(error) {
      unreadable = true;
      tell({ type: "policy-refused", error: unreadableError(error), kept: live.current });
    },
    ...(options.pollMs === undefined ? {} : { pollMs: options.pollMs }),
    ...(options.debounceMs === undefined ? {} : { debounceMs: options.debounceMs }),
  });

  function take(changed: Uint8Array): void {
    const previous = live.current;
    unreadable = false;
    let next: CompiledPolicy;
    try {
      next = compile(changed);
    } catch (thrown) {
      if (!(thrown instanceof PolicyError)) throw thrown;
      invalid = true;
      tell({ type: "policy-refused", error: thrown, kept: previous });
      return;
    }
    invalid = false;
    // Other bytes than before, and yet those in force: what came between was refused.
    if (next.version === previous.version) {
      mended();
      return;
    }
    try {
      live.replace(next);
    } catch (error) {
      tell({ type: "listener-failed", error });
    }
    tell({ type: "policy-replaced", next, previous });
  }

  function mended(): void {
    if (!invalid) tell({ type: "policy-mended", kept: live.current });
  }

  function tell(event: PolicyFileEvent): void {
    try {
      options.onEvent?.(event);
    } catch {
      // Whoever listens badly does not decide which policy is in force.
    }
  }

  return {
    get current() {
      return live.current;
    },
    onChange: (listener) => live.onChange(listener),
    async reload() {
      const before = live.current;
      await watch.check();
      if (unreadable || invalid) return "failed";
      return live.current === before ? "unchanged" : "replaced";
    },
    close: () => watch.close(),
  };
}

function unreadableError(thrown: unknown): PolicyError {
  const cause = thrown instanceof FilesError ? thrown : undefined;
  return new PolicyError("POLICY_UNREADABLE", cause?.message ?? String(thrown), {
    cause: thrown,
    ...(cause === undefined ? {} : { hint: cause.hint }),
  });
}
