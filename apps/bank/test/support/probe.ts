// What a probe sees of a bank: health, asked without a certificate.
import { connect } from "node:http2";
import type { ServedBank } from "./served-bank.ts";

/** Asks as a kubelet does: HTTP/2 in plaintext, a message with one string. */
export async function probe(
  address: string,
  { path, service }: { path: string; service: string },
): Promise<{ status: number; serving: boolean }> {
  const session = connect(`http://${address}`);
  try {
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
    });
    const message = Buffer.from([0x0a, service.length, ...Buffer.from(service)]);
    stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
    let status = "";
    const read = (headers: Readonly<Record<string, unknown>>): void => {
      const said = headers["grpc-status"];
      if (typeof said === "string") status = said;
    };
    stream.on("response", read).on("trailers", read);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    // Field 1, SERVING.
    const serving = Buffer.concat(chunks)
      .subarray(5)
      .equals(Buffer.from([0x08, 0x01]));
    return { status: Number(status), serving };
  } finally {
    session.close();
  }
}

/** Where a bank serves health or metrics, as its log says. */
export function addressIn(served: ServedBank, name: "health" | "metrics"): string {
  const listening = served.log.records.find(({ message }) => message === "listening");
  return String(listening?.fields[name]);
}
