/**
 * The target of a Workload API address as SPIFFE writes them: `unix:///run/agent.sock` with an absolute path,
 * or `tcp://127.0.0.1:8081`. Over TCP only this machine's own addresses: the answer carries a private key in
 * the clear. (SPIFFE Workload Endpoint, section 4.)
 *
 * @throws {TypeError}
 */
export function parseEndpoint(text: string): string {
  const path = unixPattern.exec(text)?.[1];
  if (path !== undefined) return `unix:${path}`;
  const [, ipv4, ipv6, port] = tcpPattern.exec(text) ?? [];
  if (port !== undefined && Number(port) <= 65_535) {
    return ipv6 === undefined ? `ipv4:${ipv4}:${port}` : `ipv6:[${ipv6}]:${port}`;
  }
  throw new TypeError(
    `SPIFFE endpoint ${JSON.stringify(text)}: expected unix:///absolute/path or tcp://127.0.0.1:PORT`,
  );
}

const unixPattern = /^unix:(?:\/\/(?=\/))?(\/(?!\/)[^?#]+)$/;
const tcpPattern = /^tcp:\/\/(?:(127\.\d{1,3}\.\d{1,3}\.\d{1,3})|\[(::1)\]):(\d{1,5})$/;
