import type { IncomingMessage, ServerResponse } from "node:http";
import type { AcmeAnswer } from "./context.ts";
import { parseJson } from "./jws.ts";
import { AcmeProblem, problemDocument } from "./problem.ts";

/**
 * The JSON of a signed request.
 *
 * @throws AcmeProblem malformed (413, 415), also where the body does not arrive whole
 */
export async function readBody(request: IncomingMessage): Promise<unknown> {
  const [type = ""] = (request.headers["content-type"] ?? "").split(";");
  if (type.trim().toLowerCase() !== "application/jose+json") {
    throw new AcmeProblem("malformed", "the content type must be application/jose+json", {
      status: 415,
    });
  }
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    // Where it is too long, the rest is left, and the connection stays for the answer.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      const bytes = chunk as Buffer;
      length += bytes.length;
      if (length > maxBodyBytes) break;
      chunks.push(bytes);
    }
  } catch (cause) {
    throw new AcmeProblem("malformed", "the body did not arrive whole", { cause });
  }
  if (length > maxBodyBytes) {
    throw new AcmeProblem("malformed", `the body must have at most ${maxBodyBytes} bytes`, {
      status: 413,
      headers: { Connection: "close" },
    });
  }
  return parseJson(Buffer.concat(chunks), "the body");
}

/** Sends what was decided; the headers are those that every answer has. */
export function send(
  response: ServerResponse,
  answer: AcmeAnswer,
  always: Readonly<Record<string, string>>,
): void {
  const { status, body, contentType = "application/json", headers = {}, links = [] } = answer;
  const text = typeof body === "object" ? JSON.stringify(body) : (body ?? "");
  const allLinks = [...links, ...(always["Link"] === undefined ? [] : [always["Link"]])];
  response.writeHead(status, {
    ...always,
    ...headers,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    ...(allLinks.length > 0 && { Link: allLinks }),
    ...(text !== "" && { "Content-Type": contentType }),
    ...(status !== 204 && { "Content-Length": String(Buffer.byteLength(text)) }),
  });
  response.end(text);
}

/** A problem as an answer. */
export function answerProblem(problem: AcmeProblem): AcmeAnswer {
  const { type, message: detail, status, members, headers } = problem;
  return {
    status,
    contentType: "application/problem+json",
    body: { ...problemDocument(type, { detail, status }), ...members },
    headers,
  };
}

const maxBodyBytes = 64 * 1_024;
