import { BankError } from "../errors.ts";

/** Where a listener of its own is to be bound. */
export interface SideAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads an address such as `127.0.0.1:8081` or `[::]:8081`; port 0 takes a free one.
 *
 * @throws BankError CONFIG_INVALID
 */
export function parseAddress(setting: string, text: string | undefined): SideAddress | undefined {
  if (text === undefined) return undefined;
  const { host, port } =
    /^(?<host>\[[\da-f:.]+\]|[\w.-]+):(?<port>\d{1,5})$/i.exec(text)?.groups ?? {};
  if (host === undefined || port === undefined || Number(port) > 65_535) {
    throw new BankError("CONFIG_INVALID", `${setting} is "${text}": expected a host and a port`, {
      hint: `use ${setting}=127.0.0.1:8081, or unset it`,
    });
  }
  return { host: host.replaceAll(/^\[|\]$/g, ""), port: Number(port) };
}

/** Whether only programs on this machine reach an address. */
export function isLoopback({ host }: SideAddress): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** An address as it is written in a setting. */
export function formatAddress({ host, port }: SideAddress): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
