import { keyAlgorithms } from "@handfast/x509";
import type { KeyAlgorithm } from "@handfast/x509";
import { CaError } from "../errors.ts";
import type { FileAccess } from "./place.ts";
import type { ReloadHook } from "./reload-hook.ts";

/** What an agent's configuration file says, checked; paths are as they were written. */
export interface AgentConfig {
  /** host:port of the Authority service; what it told at enrolment if not given. */
  readonly authority: string | undefined;
  /** The file of the roots that peers trust; undefined only where all certificates come by ACME. */
  readonly bundle: string | undefined;
  readonly certificates: readonly ConfiguredCertificate[];
}

/** One certificate of a configuration. */
export interface ConfiguredCertificate {
  readonly name: string;
  readonly place: { readonly kind: "file" | "directory"; readonly path: string };
  readonly access: FileAccess;
  /** The one-time token for the first certificate. */
  readonly tokenFile: string | undefined;
  readonly keyAlgorithm: KeyAlgorithm | undefined;
  readonly reload: ReloadHook | undefined;
  /** Where it comes from, if not from the authority. */
  readonly acme: AcmeSource | undefined;
}

/** A foreign authority. */
export interface AcmeSource {
  readonly directory: string;
  /** PEM; `public` for the roots that Node carries. */
  readonly rootsFile: string;
  /** Made if it is not there, mode 0600. */
  readonly accountKeyFile: string;
  readonly names: readonly string[];
  readonly challenge: "http-01" | "tls-alpn-01";
  readonly port: number | undefined;
  readonly contact: readonly string[];
  readonly agreeToTerms: boolean;
  readonly externalAccount: { readonly keyId: string; readonly macKeyFile: string } | undefined;
}

/**
 * Reads the configuration of an agent: JSON, in which nothing may be that is not known.
 *
 * @throws CaError AGENT_MISCONFIGURED, naming the place
 */
export function parseAgentConfig(text: string): AgentConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw misconfigured("", `is not JSON: ${(cause as Error).message}`);
  }
  const top = fields(value, "");
  const certificates = top.list("certificates").map((one, index) => {
    return certificateOf(one, `certificates[${index}]`);
  });
  if (certificates.length === 0) throw misconfigured("certificates", "is empty");
  const config = {
    authority: top.optional("authority", "string"),
    bundle: certificates.every(({ acme }) => acme !== undefined)
      ? top.optional("bundle", "string")
      : top.required("bundle", "string"),
    certificates,
  };
  top.done();
  const names = new Set(certificates.map(({ name }) => name));
  if (names.size < certificates.length) throw misconfigured("certificates", "has a name twice");
  return config;
}

function certificateOf(value: unknown, where: string): ConfiguredCertificate {
  const one = fields(value, where);
  const file = one.optional("file", "string");
  const directory = one.optional("directory", "string");
  if ((file === undefined) === (directory === undefined)) {
    throw misconfigured(where, "must have either a file or a directory");
  }
  const acme = one.optional("acme", "object");
  const reload = one.optional("reload", "object");
  const mode = one.optional("mode", "string");
  const owner = one.optional("owner", "object");
  const made: ConfiguredCertificate = {
    name: one.required("name", "string"),
    place:
      file === undefined
        ? { kind: "directory", path: directory ?? "" }
        : { kind: "file", path: file },
    access: {
      ...(mode !== undefined && { mode: modeOf(mode, `${where}.mode`) }),
      ...(owner !== undefined && { owner: ownerOf(owner, `${where}.owner`) }),
    },
    tokenFile: one.optional("tokenFile", "string"),
    keyAlgorithm: algorithmOf(one.optional("keyAlgorithm", "string"), `${where}.keyAlgorithm`),
    reload: reload && hookOf(reload, `${where}.reload`),
    acme: acme && acmeOf(acme, `${where}.acme`),
  };
  one.done();
  return made;
}

function hookOf(value: unknown, where: string): ReloadHook {
  const one = fields(value, where);
  if (one.has("command")) {
    const command = one.texts("command");
    const timeoutSeconds = one.optional("timeoutSeconds", "number");
    one.done();
    const [program, ...words] = command;
    if (program === undefined || !program.startsWith("/")) {
      throw misconfigured(`${where}.command`, "must begin with the absolute path of a program");
    }
    const timeout = timeoutSeconds === undefined ? {} : { timeoutSeconds };
    return { kind: "command", command: [program, ...words], ...timeout };
  }
  const signal = one.required("signal", "string");
  const pidFile = one.required("pidFile", "string");
  one.done();
  const known = signals.find((name) => name === signal);
  if (known === undefined)
    throw misconfigured(`${where}.signal`, `must be one of ${signals.join(", ")}`);
  return { kind: "signal", signal: known, pid: pidFile };
}

function acmeOf(value: unknown, where: string): AcmeSource {
  const one = fields(value, where);
  const external = one.optional("externalAccount", "object");
  const challenge = one.optional("challenge", "string") ?? "http-01";
  if (challenge !== "http-01" && challenge !== "tls-alpn-01") {
    throw misconfigured(`${where}.challenge`, "must be http-01 or tls-alpn-01");
  }
  const made: AcmeSource = {
    directory: one.required("directory", "string"),
    rootsFile: one.required("rootsFile", "string"),
    accountKeyFile: one.required("accountKeyFile", "string"),
    names: one.texts("names"),
    challenge,
    port: one.optional("port", "number"),
    contact: one.has("contact") ? one.texts("contact") : [],
    agreeToTerms: one.optional("agreeToTerms", "boolean") ?? false,
    externalAccount: external && externalOf(external, `${where}.externalAccount`),
  };
  one.done();
  return made;
}

function externalOf(value: unknown, where: string): { keyId: string; macKeyFile: string } {
  const one = fields(value, where);
  const made = {
    keyId: one.required("keyId", "string"),
    macKeyFile: one.required("macKeyFile", "string"),
  };
  one.done();
  return made;
}

function ownerOf(value: unknown, where: string): { uid: number; gid: number } {
  const one = fields(value, where);
  const made = { uid: one.required("uid", "number"), gid: one.required("gid", "number") };
  one.done();
  return made;
}

/** Nobody but the owner may write, and nobody at all execute. */
function modeOf(text: string, where: string): number {
  if (/^0?[46][04][04]$/.test(text)) return Number.parseInt(text, 8);
  throw misconfigured(where, 'must be as "0600", "0640" or "0644": nobody else may write a key');
}

function algorithmOf(text: string | undefined, where: string): KeyAlgorithm | undefined {
  const known = keyAlgorithms.find((name) => name === text);
  if (text === undefined || known !== undefined) return known;
  throw misconfigured(where, `must be one of ${keyAlgorithms.join(", ")}`);
}

interface Kinds {
  readonly string: string;
  readonly number: number;
  readonly boolean: boolean;
  readonly object: object;
}

interface Fields {
  optional<Kind extends keyof Kinds>(name: string, kind: Kind): Kinds[Kind] | undefined;
  required<Kind extends keyof Kinds>(name: string, kind: Kind): Kinds[Kind];
  list(name: string): readonly unknown[];
  texts(name: string): readonly string[];
  has(name: string): boolean;
  /** Refuses what is left. */
  done(): void;
}

/** The fields of an object, each asked for once; what was not asked for is a mistake. */
function fields(value: unknown, where: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw misconfigured(where, "must be an object");
  }
  const left = new Map<string, unknown>(Object.entries(value));
  const at = (name: string) => (where === "" ? name : `${where}.${name}`);
  const take = (name: string): unknown => {
    const taken = left.get(name);
    left.delete(name);
    return taken;
  };
  const optional = <Kind extends keyof Kinds>(
    name: string,
    kind: Kind,
  ): Kinds[Kind] | undefined => {
    const taken = take(name);
    if (taken === undefined) return undefined;
    if (typeof taken === kind && taken !== "" && taken !== null) return taken as Kinds[Kind];
    throw misconfigured(
      at(name),
      `must be a ${kind}${kind === "string" ? " that is not empty" : ""}`,
    );
  };
  const list = (name: string): readonly unknown[] => {
    const taken = take(name);
    if (Array.isArray(taken)) return taken;
    throw misconfigured(at(name), "must be a list");
  };
  return {
    optional,
    list,
    has: (name: string) => left.has(name),
    required<Kind extends keyof Kinds>(name: string, kind: Kind): Kinds[Kind] {
      const taken = optional(name, kind);
      if (taken !== undefined) return taken;
      throw misconfigured(at(name), "is missing");
    },
    texts(name: string): readonly string[] {
      const taken = list(name);
      if (taken.length > 0 && taken.every((text) => typeof text === "string" && text !== "")) {
        return taken as readonly string[];
      }
      throw misconfigured(at(name), "must be a list of texts");
    },
    done(): void {
      const [extra] = left.keys();
      if (extra !== undefined) throw misconfigured(at(extra), "is not known");
    },
  };
}

function misconfigured(where: string, problem: string): CaError {
  const place = where === "" ? "the configuration" : `the configuration: ${where}`;
  return new CaError("AGENT_MISCONFIGURED", `${place} ${problem}`);
}

const signals = ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH"] as const;
