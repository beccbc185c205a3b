import assert from "node:assert/strict";
import { test } from "node:test";
import { errorCodeName } from "@handfast/http2";
import { clientPreface, flags, frameTypes, settingIds } from "../src/frames.ts";
import { checkInvariants } from "./invariants.ts";
import {
  ascii,
  concat,
  dataFrame,
  eventsOf,
  frame,
  goawayFrame,
  headersFrame,
  literalBlock,
  openRequest,
  payloadUint32,
  pingFrame,
  requestFields,
  resetFrame,
  settingsAck,
  settingsFrame,
  startBareServer,
  startClient,
  startServer,
  uint32,
  windowUpdate,
} from "./wire.ts";
import type { Frame } from "./wire.ts";

// Each MUST of RFC 9113 about what to do with what a peer sends, by section: what is sent to a machine
// that has just begun, and what it must answer.

/** `connection`: GOAWAY and the end. `stream`: RST_STREAM, and everything else goes on. `fine`: neither. */
type Verdict = readonly ["connection", string] | readonly ["stream", string] | readonly ["fine"];

interface Case {
  readonly section: string;
  readonly when: string;
  readonly send: readonly Uint8Array[];
  readonly verdict: Verdict;
}

const open = headersFrame(1);
const openAndEnd = headersFrame(1, requestFields, { end: true });
const priority = (streamId: number, dependency: number): Uint8Array =>
  frame(frameTypes.PRIORITY, 0, streamId, [...uint32(dependency), 10]);
const continuation = (streamId: number, block: Uint8Array, flagBits: number): Uint8Array =>
  frame(frameTypes.CONTINUATION, flagBits, streamId, block);
const padded = (type: number, padding: number, payload: Uint8Array): Uint8Array =>
  frame(type, flags.PADDED | flags.END_HEADERS, 1, [padding, ...payload]);
const request = (...changes: readonly (readonly [string, string | undefined])[]): Uint8Array => {
  const without = new Set(changes.map(([name]) => name));
  const fields: string[] = [];
  for (let index = 0; index < requestFields.length; index += 2) {
    const name = requestFields[index]!;
    const replaced = changes.filter(([changed]) => changed === name);
    const values = without.has(name)
      ? replaced.map(([, value]) => value)
      : [requestFields[index + 1]];
    fields.push(...values.filter((value) => value !== undefined).flatMap((value) => [name, value]));
  }
  const added = changes.filter(([name]) => !requestFields.includes(name));
  fields.push(...added.flatMap(([name, value]) => [name, value ?? ""]));
  return headersFrame(1, fields, { end: true });
};

const toServer: readonly Case[] = [
  // 4: frames.
  [
    "4.1",
    "a reserved bit in the stream identifier is ignored",
    [reservedBit(openAndEnd)],
    ["fine"],
  ],
  ["4.1", "a frame of unknown type is ignored", [frame(0x16, 0xff, 1, [1, 2, 3])], ["fine"]],
  [
    "4.1",
    "undefined flags are ignored",
    [headersFrame(1, requestFields, { flags: 0xd7 & ~0x20 & ~8 })],
    ["fine"],
  ],
  [
    "4.2",
    "a HEADERS frame above the maximum size",
    [headersFrame(1, new Uint8Array(16_385))],
    ["connection", "FRAME_SIZE_ERROR"],
  ],
  [
    "4.2",
    "a DATA frame above the maximum size",
    [open, dataFrame(1, 16_385)],
    ["connection", "FRAME_SIZE_ERROR"],
  ],
  ["4.2", "a DATA frame of the maximum size", [open, dataFrame(1, 16_384)], ["fine"]],
  [
    "4.3",
    "a header block that does not decode",
    [headersFrame(1, Uint8Array.of(0x80))],
    ["connection", "COMPRESSION_ERROR"],
  ],
  [
    "4.3",
    "another frame inside a header block",
    [headersFrame(1, requestFields, { flags: 0 }), pingFrame(1)],
    ["connection", "PROTOCOL_ERROR"],
  ],
  [
    "4.3",
    "a frame of unknown type inside a header block",
    [headersFrame(1, requestFields, { flags: 0 }), frame(0x16, 0, 1)],
    ["connection", "PROTOCOL_ERROR"],
  ],
  [
    "4.3",
    "CONTINUATION of another stream inside a header block",
    [
      headersFrame(1, requestFields, { flags: 0 }),
      continuation(3, literalBlock([]), flags.END_HEADERS),
    ],
    ["connection", "PROTOCOL_ERROR"],
  ],
  // 5: streams.
  ["5.1", "DATA on an idle stream", [dataFrame(1, "x")], ["connection", "PROTOCOL_ERROR"]],
  ["5.1", "RST_STREAM on an idle stream", [resetFrame(1)], ["connection", "PROTOCOL_ERROR"]],
  [
    "5.1",
    "WINDOW_UPDATE on an idle stream",
    [windowUpdate(1, 1)],
    ["connection", "PROTOCOL_ERROR"],
  ],
  [
    "5.1",
    "CONTINUATION on an idle stream",
    [continuation(1, literalBlock([]), flags.END_HEADERS)],
    ["connection", "PROTOCOL_ERROR"],
  ],
  ["5.1", "PRIORITY on an idle stream", [priority(1, 0)], ["fine"]],
  [
    "5.1",
    "DATA on a half-closed (remote) stream",
    [openAndEnd, dataFrame(1, "x")],
    ["stream", "STREAM_CLOSED"],
  ],
  [
    "5.1",
    "HEADERS on a half-closed (remote) stream",
    [openAndEnd, headersFrame(1, ["a", "b"], { end: true })],
    ["stream", "STREAM_CLOSED"],
  ],
  [
    "5.1",
    "WINDOW_UPDATE on a half-closed (remote) stream",
    [openAndEnd, windowUpdate(1, 1)],
    ["fine"],
  ],
  ["5.1", "PRIORITY on a half-closed (remote) stream", [openAndEnd, priority(1, 0)], ["fine"]],
  [
    "5.1",
    "DATA after RST_STREAM",
    [open, resetFrame(1), dataFrame(1, "x")],
    ["stream", "STREAM_CLOSED"],
  ],
  [
    "5.1",
    "HEADERS after RST_STREAM",
    [open, resetFrame(1), headersFrame(1, ["a", "b"], { end: true })],
    ["connection", "STREAM_CLOSED"],
  ],
  [
    "5.1",
    "WINDOW_UPDATE and RST_STREAM shortly after RST_STREAM",
    [open, resetFrame(1), windowUpdate(1, 1), resetFrame(1)],
    ["fine"],
  ],
  ["5.1", "PRIORITY on a closed stream", [open, resetFrame(1), priority(1, 0)], ["fine"]],
  [
    "5.1",
    "CONTINUATION after END_HEADERS",
    [open, continuation(1, literalBlock([]), flags.END_HEADERS)],
    ["connection", "PROTOCOL_ERROR"],
  ],
  ["5.1.1", "a request with an even number", [headersFrame(2)], ["connection", "PROTOCOL_ERROR"]],
  [
    "5.1.1",
    "a request with a number below the last",
    [headersFrame(5), headersFrame(3)],
    ["connection", "PROTOCOL_ERROR"],
  ],
  ["5.1.1", "numbers that skip some", [headersFrame(5), headersFrame(17)], ["fine"]],
  // RFC 7540 5.3.1, kept for h2spec; 5.3.2 of RFC 9113 ignores the rest.
  [
    "5.3.1",
    "HEADERS that depend on their own stream",
    [
      headersFrame(1, concat(Uint8Array.from([...uint32(1), 1]), literalBlock(requestFields)), {
        flags: flags.END_HEADERS | flags.PRIORITY,
      }),
    ],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "5.3.1",
    "PRIORITY of an open stream that depends on itself",
    [open, priority(1, 1)],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "5.3.2",
    "HEADERS with a priority are a request like any other",
    [
      headersFrame(
        1,
        concat(Uint8Array.from([...uint32(0x8000_0003), 1]), literalBlock(requestFields)),
        { flags: flags.END_HEADERS | flags.PRIORITY },
      ),
    ],
    ["fine"],
  ],
  ["5.5", "an unknown setting is ignored", [settingsFrame([0x4a4a, 7])], ["fine"]],
  // 6.1: DATA.
  ["6.1", "DATA on stream 0", [dataFrame(0, "x")], ["connection", "PROTOCOL_ERROR"]],
  [
    "6.1",
    "DATA whose padding is all of its payload and more",
    [open, padded(frameTypes.DATA, 2, ascii("x"))],
    ["connection", "PROTOCOL_ERROR"],
  ],
  [
    "6.1",
    "padded DATA without a pad length",
    [open, frame(frameTypes.DATA, flags.PADDED, 1)],
    ["connection", "PROTOCOL_ERROR"],
  ],
  [
    "6.1",
    "DATA that is padding but for its pad length",
    [open, padded(frameTypes.DATA, 3, ascii("xxx"))],
    ["fine"],
  ],
  // 6.2: HEADERS.
  ["6.2", "HEADERS on stream 0", [headersFrame(0)], ["connection", "PROTOCOL_ERROR"]],
  [
    "6.2",
    "HEADERS with more padding than payload",
    [padded(frameTypes.HEADERS, 200, literalBlock(requestFields).subarray(0, 20))],
    ["connection", "PROTOCOL_ERROR"],
  ],
  [
    "6.2",
    "HEADERS too short for the priority they announce",
    [headersFrame(1, Uint8Array.of(1), { flags: flags.END_HEADERS | flags.PRIORITY })],
    ["connection", "FRAME_SIZE_ERROR"],
  ],
  [
    "6.2",
    "padded HEADERS",
    [padded(frameTypes.HEADERS, 4, concat(literalBlock(requestFields), new Uint8Array(4)))],
    ["fine"],
  ],
  // 6.3: PRIORITY.
  ["6.3", "PRIORITY on stream 0", [priority(0, 1)], ["connection", "PROTOCOL_ERROR"]],
  [
    "6.3",
    "PRIORITY of another length than 5",
    [open, frame(frameTypes.PRIORITY, 0, 1, [0, 0, 0, 0])],
    ["stream", "FRAME_SIZE_ERROR"],
  ],
  // 6.4: RST_STREAM.
  ["6.4", "RST_STREAM on stream 0", [resetFrame(0)], ["connection", "PROTOCOL_ERROR"]],
  [
    "6.4",
    "RST_STREAM of another length than 4",
    [open, frame(frameTypes.RST_STREAM, 0, 1, [0, 0, 0])],
    ["connection", "FRAME_SIZE_ERROR"],
  ],
  ["6.4", "RST_STREAM with an unknown code", [open, resetFrame(1, 0xfeed)], ["fine"]],
  // 6.5: SETTINGS.
  [
    "6.5",
    "SETTINGS on a stream",
    [frame(frameTypes.SETTINGS, 0, 1)],
    ["connection", "PROTOCOL_ERROR"],
  ],
  [
    "6.5",
    "SETTINGS that are not of whole entries",
    [frame(frameTypes.SETTINGS, 0, 0, [0, 3, 0])],
    ["connection", "FRAME_SIZE_ERROR"],
  ],
  [
    "6.5",
    "a SETTINGS acknowledgement with payload",
    [frame(frameTypes.SETTINGS, flags.ACK, 0, [0, 3, 0, 0, 0, 1])],
    ["connection", "FRAME_SIZE_ERROR"],
  ],
  [
    "6.5.2",
    "SETTINGS_ENABLE_PUSH of 2",
    [settingsFrame([settingIds.ENABLE_PUSH, 2])],
    ["connection", "PROTOCOL_ERROR"],
  ],
  [
    "6.5.2",
    "SETTINGS_INITIAL_WINDOW_SIZE of 2^31",
    [settingsFrame([settingIds.INITIAL_WINDOW_SIZE, 0x8000_0000])],
    ["connection", "FLOW_CONTROL_ERROR"],
  ],
  [
    "6.5.2",
    "SETTINGS_MAX_FRAME_SIZE below 16,384",
    [settingsFrame([settingIds.MAX_FRAME_SIZE, 16_383])],
    ["connection", "PROTOCOL_ERROR"],
  ],
  [
    "6.5.2",
    "SETTINGS_MAX_FRAME_SIZE above 2^24-1",
    [settingsFrame([settingIds.MAX_FRAME_SIZE, 16_777_216])],
    ["connection", "PROTOCOL_ERROR"],
  ],
  // 6.6: PUSH_PROMISE.
  [
    "6.6",
    "PUSH_PROMISE from a client",
    [
      open,
      frame(frameTypes.PUSH_PROMISE, flags.END_HEADERS, 1, [
        ...uint32(2),
        ...literalBlock(requestFields),
      ]),
    ],
    ["connection", "PROTOCOL_ERROR"],
  ],
  // 6.7: PING.
  [
    "6.7",
    "PING on a stream",
    [frame(frameTypes.PING, 0, 1, new Uint8Array(8))],
    ["connection", "PROTOCOL_ERROR"],
  ],
  [
    "6.7",
    "PING of another length than 8",
    [frame(frameTypes.PING, 0, 0, new Uint8Array(7))],
    ["connection", "FRAME_SIZE_ERROR"],
  ],
  ["6.7", "an answer to a PING nobody sent", [pingFrame(1, flags.ACK)], ["fine"]],
  // 6.8: GOAWAY.
  [
    "6.8",
    "GOAWAY on a stream",
    [frame(frameTypes.GOAWAY, 0, 1, new Uint8Array(8))],
    ["connection", "PROTOCOL_ERROR"],
  ],
  [
    "6.8",
    "GOAWAY of less than 8 octets",
    [frame(frameTypes.GOAWAY, 0, 0, new Uint8Array(7))],
    ["connection", "FRAME_SIZE_ERROR"],
  ],
  [
    "6.8",
    "a second GOAWAY with a higher last stream",
    [open, goawayFrame(0), goawayFrame(2)],
    ["connection", "PROTOCOL_ERROR"],
  ],
  // 6.9: WINDOW_UPDATE.
  [
    "6.9",
    "WINDOW_UPDATE by 0 on a stream",
    [open, windowUpdate(1, 0)],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "6.9",
    "WINDOW_UPDATE by 0 on the connection",
    [windowUpdate(0, 0)],
    ["connection", "PROTOCOL_ERROR"],
  ],
  [
    "6.9",
    "WINDOW_UPDATE of another length than 4",
    [frame(frameTypes.WINDOW_UPDATE, 0, 0, [0, 0, 1])],
    ["connection", "FRAME_SIZE_ERROR"],
  ],
  [
    "6.9.1",
    "a stream's window above 2^31-1",
    [open, windowUpdate(1, 0x7fff_ffff)],
    ["stream", "FLOW_CONTROL_ERROR"],
  ],
  [
    "6.9.1",
    "the connection's window above 2^31-1",
    [windowUpdate(0, 0x7fff_ffff)],
    ["connection", "FLOW_CONTROL_ERROR"],
  ],
  [
    "6.9.2",
    "SETTINGS that make a stream's window larger than 2^31-1",
    [
      open,
      windowUpdate(1, 0x7fff_0000),
      settingsFrame([settingIds.INITIAL_WINDOW_SIZE, 0x7fff_ffff]),
    ],
    ["connection", "FLOW_CONTROL_ERROR"],
  ],
  // 6.10: CONTINUATION.
  [
    "6.10",
    "a header block in three frames",
    [
      frame(frameTypes.HEADERS, 0, 1, literalBlock(requestFields.slice(0, 2))),
      continuation(1, literalBlock(requestFields.slice(2, 4)), 0),
      continuation(1, literalBlock(requestFields.slice(4)), flags.END_HEADERS),
    ],
    ["fine"],
  ],
  [
    "6.10",
    "CONTINUATION on stream 0",
    [
      headersFrame(1, requestFields, { flags: 0 }),
      continuation(0, literalBlock([]), flags.END_HEADERS),
    ],
    ["connection", "PROTOCOL_ERROR"],
  ],
  // 8: messages.
  [
    "8.1",
    "a second HEADERS frame without END_STREAM",
    [open, headersFrame(1, ["a", "b"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.1",
    "trailers",
    [open, dataFrame(1, "x"), headersFrame(1, ["a", "b"], { end: true })],
    ["fine"],
  ],
  [
    "8.1.1",
    "a content-length above the body's length",
    [headersFrame(1, [...requestFields, "content-length", "2"]), dataFrame(1, "x", { end: true })],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.1.1",
    "a content-length below the body's length",
    [headersFrame(1, [...requestFields, "content-length", "2"]), dataFrame(1, "xxx")],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.1.1",
    "a content-length with trailers after too short a body",
    [
      headersFrame(1, [...requestFields, "content-length", "2"]),
      dataFrame(1, "x"),
      headersFrame(1, ["a", "b"], { end: true }),
    ],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.1.1",
    "a content-length and no body",
    [request(["content-length", "2"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.1.1",
    "different content-lengths",
    [request(["content-length", "0"], ["content-length", "1"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.1.1",
    "a content-length that is not a number",
    [request(["content-length", "+1"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.1.1",
    "a content-length that is kept",
    [
      headersFrame(1, [...requestFields, "content-length", "2"]),
      dataFrame(1, "x"),
      dataFrame(1, "x", { end: true }),
    ],
    ["fine"],
  ],
  ["8.2.1", "an upper-case field name", [request(["X-One", "1"])], ["stream", "PROTOCOL_ERROR"]],
  ["8.2.1", "a field name with a space", [request(["x one", "1"])], ["stream", "PROTOCOL_ERROR"]],
  [
    "8.2.1",
    "a field name with an octet above 0x7e",
    [request(["x\u00e9", "1"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  ["8.2.1", "a colon inside a field name", [request(["x:y", "1"])], ["stream", "PROTOCOL_ERROR"]],
  ["8.2.1", "an empty field name", [request(["", "1"])], ["stream", "PROTOCOL_ERROR"]],
  ["8.2.1", "a NUL in a value", [request(["x", "a\0b"])], ["stream", "PROTOCOL_ERROR"]],
  ["8.2.1", "a line feed in a value", [request(["x", "a\nb"])], ["stream", "PROTOCOL_ERROR"]],
  ["8.2.1", "a carriage return in a value", [request(["x", "a\rb"])], ["stream", "PROTOCOL_ERROR"]],
  [
    "8.2.1",
    "a value that begins with a space",
    [request(["x", " a"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  ["8.2.1", "a value that ends with a tab", [request(["x", "a\t"])], ["stream", "PROTOCOL_ERROR"]],
  [
    "8.2.2",
    "a connection field (S39)",
    [request(["connection", "keep-alive"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.2.2",
    "a proxy-connection field",
    [request(["proxy-connection", "close"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.2.2",
    "a keep-alive field",
    [request(["keep-alive", "timeout=1"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.2.2",
    "a transfer-encoding field",
    [request(["transfer-encoding", "chunked"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  ["8.2.2", "an upgrade field", [request(["upgrade", "h2c"])], ["stream", "PROTOCOL_ERROR"]],
  ["8.2.2", "te other than trailers", [request(["te", "gzip"])], ["stream", "PROTOCOL_ERROR"]],
  ["8.3", "an unknown pseudo-header field", [request([":x", "1"])], ["stream", "PROTOCOL_ERROR"]],
  [
    "8.3",
    "a pseudo-header field of responses",
    [request([":status", "200"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.3",
    "a pseudo-header field after a regular one",
    [headersFrame(1, ["a", "b", ...requestFields])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.3",
    "a pseudo-header field in trailers",
    [open, headersFrame(1, [":path", "/"], { end: true })],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.3",
    "two :method fields",
    [request([":method", "GET"], [":method", "GET"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.3",
    "two :path fields",
    [request([":path", "/"], [":path", "/"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.3.1",
    "two :authority fields (S39)",
    [request([":authority", "a"], [":authority", "a"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.3.1",
    "two host fields (S39)",
    [request(["host", "a"], ["host", "a"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.3.1",
    "a host that differs from :authority",
    [request(["host", "other.test"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  ["8.3.1", "a host that equals :authority", [request(["host", "bank.test"])], ["fine"]],
  [
    "8.3.1",
    "userinfo in :authority",
    [request([":authority", "me@bank.test"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  ["8.3.1", "no :method", [request([":method", undefined])], ["stream", "PROTOCOL_ERROR"]],
  ["8.3.1", "no :scheme", [request([":scheme", undefined])], ["stream", "PROTOCOL_ERROR"]],
  ["8.3.1", "no :path", [request([":path", undefined])], ["stream", "PROTOCOL_ERROR"]],
  ["8.3.1", "an empty :path", [request([":path", ""])], ["stream", "PROTOCOL_ERROR"]],
  [
    "8.3.1",
    "a path without its slash is the application's to judge (S39)",
    [request([":path", "bank"])],
    ["fine"],
  ],
  ["8.5", "CONNECT with a :path", [request([":method", "CONNECT"])], ["stream", "PROTOCOL_ERROR"]],
  [
    "8.5",
    "CONNECT with :authority alone",
    [headersFrame(1, [":method", "CONNECT", ":authority", "a:1"])],
    ["fine"],
  ],
].map(toCase);

for (const { section, when, send, verdict } of toServer) {
  test(`9113 ${section}, server: ${when}: ${verdict.join(" ")}`, () => {
    const rig = startServer();
    const answers = rig.send(...send);
    checkInvariants(rig.core);
    assert.deepEqual(verdictOf(answers), verdict);
    assert.equal(rig.side.phase === "closed", verdict[0] === "connection");
    const untouched = rig.send(pingFrame(7));
    assert.equal(
      untouched.some(({ type }) => type === frameTypes.PING),
      verdict[0] !== "connection",
      "other streams are not disturbed",
    );
  });
}

const okHead = headersFrame(1, [":status", "200"]);
const toClient: readonly Case[] = [
  [
    "5.1",
    "HEADERS on a stream nobody opened",
    [headersFrame(3, [":status", "200"])],
    ["connection", "PROTOCOL_ERROR"],
  ],
  ["5.1", "DATA on a stream nobody opened", [dataFrame(3, "x")], ["connection", "PROTOCOL_ERROR"]],
  [
    "5.1.1",
    "HEADERS on an even stream",
    [headersFrame(2, [":status", "200"])],
    ["connection", "PROTOCOL_ERROR"],
  ],
  [
    "6.5.2",
    "SETTINGS_ENABLE_PUSH of 1 from a server",
    [settingsFrame([settingIds.ENABLE_PUSH, 1])],
    ["connection", "PROTOCOL_ERROR"],
  ],
  [
    "6.6",
    "PUSH_PROMISE when push is off",
    [
      frame(frameTypes.PUSH_PROMISE, flags.END_HEADERS, 1, [
        ...uint32(2),
        ...literalBlock(requestFields),
      ]),
    ],
    ["connection", "PROTOCOL_ERROR"],
  ],
  ["8.1", "DATA before the head", [dataFrame(1, "x")], ["stream", "PROTOCOL_ERROR"]],
  [
    "8.1",
    "interim heads, then a final one",
    [headersFrame(1, [":status", "100"]), headersFrame(1, [":status", "103"]), okHead],
    ["fine"],
  ],
  [
    "8.1",
    "an interim head with END_STREAM",
    [headersFrame(1, [":status", "103"], { end: true })],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.1",
    "a second final head",
    [okHead, headersFrame(1, [":status", "200"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.1.1",
    "a response shorter than its content-length",
    [headersFrame(1, [":status", "200", "content-length", "2"]), dataFrame(1, "x", { end: true })],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.1.1",
    "a 304 with the content-length of what it does not send",
    [headersFrame(1, [":status", "304", "content-length", "2"], { end: true })],
    ["fine"],
  ],
  [
    "8.3",
    "a pseudo-header field of requests",
    [headersFrame(1, [":status", "200", ":path", "/"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  ["8.3.2", "no :status", [headersFrame(1, ["a", "b"])], ["stream", "PROTOCOL_ERROR"]],
  [
    "8.3.2",
    "a :status that is not a number",
    [headersFrame(1, [":status", "2oo"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
  [
    "8.6",
    "101 (Switching Protocols)",
    [headersFrame(1, [":status", "101"])],
    ["stream", "PROTOCOL_ERROR"],
  ],
].map(toCase);

for (const { section, when, send, verdict } of toClient) {
  test(`9113 ${section}, client: ${when}: ${verdict.join(" ")}`, () => {
    const rig = startClient();
    openRequest(rig);
    rig.output();
    const answers = rig.send(...send);
    checkInvariants(rig.core);
    assert.deepEqual(verdictOf(answers), verdict);
    assert.equal(rig.side.phase === "closed", verdict[0] === "connection");
  });
}

test("9113 3.4: a server refuses any other preface", () => {
  const preface = Uint8Array.from(clientPreface);
  for (let at = 0; at < preface.length; at += 1) {
    const wrong = preface.with(at, preface[at]! ^ 1);
    const rig = startBareServer();
    assert.deepEqual(verdictOf(rig.send(wrong)), ["connection", "PROTOCOL_ERROR"]);
    assert.equal(rig.side.phase, "closed");
  }
});

test("9113 3.4: both ends refuse another first frame than SETTINGS", () => {
  for (const first of [pingFrame(1), settingsAck, openAndEnd]) {
    const server = startBareServer();
    assert.deepEqual(verdictOf(server.send(clientPreface, first)), [
      "connection",
      "PROTOCOL_ERROR",
    ]);
  }
});

test("9113 3.4: a client begins with the preface, SETTINGS and its windows", () => {
  const rig = startClient();
  const fresh = startBareServer();
  const [settings, update] = fresh.output();
  assert.equal(settings?.type, frameTypes.SETTINGS);
  assert.equal(update?.type, frameTypes.WINDOW_UPDATE);
  assert.equal(payloadUint32(update), 1_048_576 - 65_535);
  assert.equal(rig.side.phase, "open");
});

test("9113 5.1.2: a request beyond SETTINGS_MAX_CONCURRENT_STREAMS is refused, and may come again", () => {
  const rig = startServer({ settings: { maxConcurrentStreams: 1 } });
  const answers = rig.send(open, headersFrame(3));
  assert.deepEqual(verdictOf(answers), ["stream", "REFUSED_STREAM"]);
  rig.side.respond(1, { head: [":status", "200"] });
  rig.send(dataFrame(1, "", { end: true }));
  assert.deepEqual(verdictOf(rig.send(headersFrame(5))), ["fine"]);
});

test("9113 6.5.3: SETTINGS are acknowledged in order, after they have been applied", () => {
  const rig = startServer();
  rig.send(open);
  rig.side.sendHead(1, [":status", "200"]);
  rig.side.sendData(1, new Uint8Array(70_000));
  rig.output();
  const answers = rig.send(settingsFrame([settingIds.INITIAL_WINDOW_SIZE, 65_536]));
  assert.deepEqual(
    answers.map(({ type, flags, payload }) => [type, flags, payload.length]),
    [[frameTypes.SETTINGS, flags.ACK, 0]],
    "the connection's window is spent, so no data follows",
  );
  const after = rig.send(windowUpdate(0, 10));
  assert.deepEqual(
    after.map(({ type, payload }) => [type, payload.length]),
    [[frameTypes.DATA, 1]],
  );
});

test("9113 6.7: a PING is answered with its own octets", () => {
  const rig = startServer();
  const [answer] = rig.send(pingFrame(0x0102_0304));
  assert.deepEqual(answer, {
    type: frameTypes.PING,
    flags: flags.ACK,
    streamId: 0,
    payload: Uint8Array.of(0, 0, 0xde, 0xad, 1, 2, 3, 4),
  });
});

test("9113 6.9: DATA beyond the stream's window is a stream error, beyond the connection's the end", () => {
  const settings = { streamWindow: 65_535, connectionWindow: 131_072, maxWindow: 0 };
  const stream = startServer({ settings });
  const full = [16_384, 16_384, 16_384, 16_383].map((length) => dataFrame(1, length));
  assert.deepEqual(verdictOf(stream.send(open, ...full)), ["fine"]);
  assert.deepEqual(verdictOf(stream.send(dataFrame(1, 1))), ["stream", "FLOW_CONTROL_ERROR"]);
  checkInvariants(stream.core);

  const connection = startServer({ settings });
  for (const id of [1, 3]) {
    const frames = [16_384, 16_384, 16_384, 16_383].map((length) => dataFrame(id, length));
    assert.deepEqual(verdictOf(connection.send(headersFrame(id), ...frames)), ["fine"]);
  }
  const over = connection.send(headersFrame(5), dataFrame(5, 3));
  assert.deepEqual(verdictOf(over), ["connection", "FLOW_CONTROL_ERROR"]);
});

test("9113 6.9.1: padding counts against the windows and is credited at once", () => {
  const rig = startServer({
    settings: { streamWindow: 65_535, connectionWindow: 65_535, maxWindow: 0 },
  });
  rig.send(open);
  const onlyPadding = frame(frameTypes.DATA, flags.PADDED, 1, [255, 1, ...new Uint8Array(255)]);
  let credited = 0;
  for (let count = 0; count < 150; count += 1) {
    const answers = rig.send(onlyPadding);
    credited += answers.filter(({ type }) => type === frameTypes.WINDOW_UPDATE).length;
    rig.side.consume(1, 1);
    checkInvariants(rig.core);
  }
  assert.ok(credited >= 2, "stream and connection were given back their padding");
});

test("9113 6.9.2: a smaller initial window makes windows negative, and nothing is sent until they recover", () => {
  const rig = startServer();
  rig.send(open);
  rig.side.sendHead(1, [":status", "200"]);
  rig.side.sendData(1, new Uint8Array(60_000));
  rig.output();
  rig.send(settingsFrame([settingIds.INITIAL_WINDOW_SIZE, 10_000]));
  rig.side.sendData(1, new Uint8Array(5_000), { end: true });
  assert.equal(rig.core.streams.get(1)?.sendWindow, -50_000);
  assert.deepEqual(rig.output(), []);
  assert.deepEqual(rig.send(windowUpdate(1, 50_000)), []);
  const resumed = rig.send(windowUpdate(1, 1));
  assert.deepEqual(
    resumed.map(({ payload }) => payload.length),
    [1],
  );
  checkInvariants(rig.core);
});

test("9113 6.9.2: until it acknowledged a smaller stream window, a peer may use the old one", () => {
  const rig = startBareServer({ settings: { streamWindow: 1_000, maxWindow: 0 } });
  rig.send(clientPreface, settingsFrame(), open, dataFrame(1, 5_000));
  assert.equal(rig.side.phase, "open");
  assert.equal(rig.core.streams.size, 1);
  rig.send(settingsAck);
  checkInvariants(rig.core);
  rig.send(headersFrame(3));
  assert.deepEqual(verdictOf(rig.send(dataFrame(3, 1_001))), ["stream", "FLOW_CONTROL_ERROR"]);
});

test("9113 6.9.2: what was consumed before a smaller window is acknowledged is announced after it", () => {
  const rig = startBareServer({ settings: { streamWindow: 20_000, maxWindow: 0 } });
  rig.send(clientPreface, settingsFrame(), open);
  for (const length of [16_384, 16_384, 16_384, 16_383]) {
    rig.send(dataFrame(1, length));
    rig.side.consume(1, length);
  }
  // The client's window is now what it was announced, less 45,535: it must not be left shut.
  rig.output();
  rig.send(settingsAck);
  assert.ok((rig.core.streams.get(1)?.receiveWindow.left ?? 0) > 10_000);
  checkInvariants(rig.core);
});

test("9113 6.8: a client's streams above the GOAWAY are reported as not processed, the others go on", () => {
  const rig = startClient();
  openRequest(rig);
  openRequest(rig);
  rig.send(goawayFrame(1));
  assert.deepEqual(
    eventsOf(rig.log, "reset").map(({ id, reset }) => [id, reset.unprocessed]),
    [[3, true]],
  );
  assert.equal(openRequest(rig), 0);
  rig.send(headersFrame(1, [":status", "200"], { end: true }));
  rig.side.sendData(1, new Uint8Array(0), { end: true });
  rig.output();
  assert.equal(rig.side.phase, "closed");
});

test("9113 8.7: REFUSED_STREAM means not processed, other codes do not", () => {
  const rig = startClient();
  openRequest(rig);
  openRequest(rig);
  rig.send(resetFrame(1, 7), resetFrame(3, 8));
  assert.deepEqual(
    eventsOf(rig.log, "reset").map(({ id, reset }) => [id, reset.unprocessed]),
    [
      [1, true],
      [3, false],
    ],
  );
});

/** How the machine judged: by the frames that end something. */
function verdictOf(answers: readonly Frame[]): Verdict {
  const goaway = answers.find(({ type }) => type === frameTypes.GOAWAY);
  if (goaway !== undefined) {
    return ["connection", errorCodeName(payloadUint32(goaway, 4))];
  }
  const reset = answers.find(({ type }) => type === frameTypes.RST_STREAM);
  return reset === undefined ? ["fine"] : ["stream", errorCodeName(payloadUint32(reset))];
}

function toCase(
  row: readonly [string, string, readonly Uint8Array[], Verdict] | readonly unknown[],
): Case {
  const [section, when, send, verdict] = row as [string, string, Uint8Array[], Verdict];
  return { section, when, send, verdict };
}

function reservedBit(octets: Uint8Array): Uint8Array {
  return octets.with(5, octets[5]! | 0x80);
}
