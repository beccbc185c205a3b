import { env, execArgv } from "node:process";

import { TlsError } from "./errors.ts";
import type { TlsEventListener } from "./events.ts";

/**
 * Looks for settings of Node and OpenSSL that weaken TLS for the whole process (S25). No verdict of ours
 * depends on them, since everything is passed explicitly; each is named all the same, and the two that give
 * secrets away or switch verification off elsewhere stop the start.
 *
 * @throws TlsError ENVIRONMENT_UNSAFE
 */
export function inspectEnvironment(options: {
  readonly dangerouslyAllowUnsafeEnvironment: boolean;
  readonly onEvent: TlsEventListener;
}): void {
  const found = [...variables(), ...flags()];
  for (const { setting, reason } of found) {
    options.onEvent({ type: "environment-warning", setting, reason });
  }
  const fatal = found.find((entry) => entry.fatal);
  if (fatal !== undefined && !options.dangerouslyAllowUnsafeEnvironment) {
    throw new TlsError("ENVIRONMENT_UNSAFE", `${fatal.setting} is set: ${fatal.reason}`);
  }
}

interface Finding {
  readonly setting: string;
  readonly reason: string;
  readonly fatal: boolean;
}

function variables(): Finding[] {
  const found: Finding[] = [];
  if (env["NODE_TLS_REJECT_UNAUTHORIZED"] === "0") {
    found.push({
      setting: "NODE_TLS_REJECT_UNAUTHORIZED=0",
      reason: "every other TLS client of this process trusts anybody",
      fatal: true,
    });
  }
  if (env["NODE_EXTRA_CA_CERTS"] !== undefined) {
    found.push({
      setting: "NODE_EXTRA_CA_CERTS",
      reason:
        "it extends the default roots of other TLS clients; Handfast uses its own bundle only",
      fatal: false,
    });
  }
  if (env["OPENSSL_CONF"] !== undefined) {
    found.push({
      setting: "OPENSSL_CONF",
      reason: "it may change OpenSSL's defaults",
      fatal: false,
    });
  }
  return found;
}

function flags(): Finding[] {
  const given = [...execArgv, ...(env["NODE_OPTIONS"] ?? "").split(/\s+/)];
  return unsafeFlags
    .filter(({ flag }) =>
      given.some(
        (argument) =>
          argument === flag ||
          argument.startsWith(`${flag}=`) ||
          (flag.endsWith("-") && argument.startsWith(flag)),
      ),
    )
    .map(({ flag, reason, fatal }) => ({ setting: flag, reason, fatal }));
}

const unsafeFlags: readonly { flag: string; reason: string; fatal: boolean }[] = [
  {
    flag: "--tls-keylog",
    reason: "it writes the secrets of every TLS session to a file",
    fatal: true,
  },
  {
    flag: "--tls-min-",
    reason: "it lowers the default TLS version of other sockets",
    fatal: false,
  },
  { flag: "--insecure-http-parser", reason: "it accepts HTTP that can be smuggled", fatal: false },
  { flag: "--security-revert", reason: "it brings a fixed vulnerability back", fatal: false },
  { flag: "--inspect", reason: "whoever reaches the debugger reads the keys", fatal: false },
  { flag: "--inspect-brk", reason: "whoever reaches the debugger reads the keys", fatal: false },
];
