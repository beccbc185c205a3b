import { errorCodes } from "@handfast/http2";
import type {
  ClientConnection,
  ClientOptions,
  Connection,
  ErrorCode,
  Fields,
  RequestHead,
  ResponseHead,
  ServerConnection,
  ServerOptions,
  StreamReset,
} from "@handfast/http2";
import { createCore } from "../src/connection.ts";
import type { Core } from "../src/core.ts";
import { HpackDecoder, type FieldSink } from "../src/hpack-decoder.ts";
import { HpackEncoder } from "../src/hpack-encoder.ts";
import { Machine } from "../src/machine.ts";
import { Output } from "../src/output.ts";
import { clientPreface, flags, frameTypes } from "../src/frames.ts";

/** A frame as the raw peer of the tests reads it. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Uint8Array;
}

/** A frame's octets, right or wrong: nothing is checked. */
export function frame(
  type: number,
  flagBits: number,
  streamId: number,
  payload: Iterable<number> | Uint8Array = [],
): Uint8Array {
  const body = Uint8Array.from(payload);
  return Uint8Array.from([
    body.length >> 16,
    body.length >> 8,
    body.length,
    type,
    flagBits,
    ...uint32(streamId),
    ...body,
  ]);
}

/** Four octets, the most significant first. */
export function uint32(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

export function ascii(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "latin1"));
}

export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ""), "hex"));
}

/** Fields as literals without indexing, whatever is in them: malformed heads are made with it. */
export function literalBlock(fields: Fields): Uint8Array {
  const octets: number[] = [];
  for (let index = 0; index < fields.length; index += 2) {
    octets.push(0);
    for (const text of fields.slice(index, index + 2)) {
      if (text.length < 127) {
        octets.push(text.length);
      } else {
        let rest = text.length - 127;
        octets.push(127);
        for (; rest >= 128; rest >>>= 7) {
          octets.push(128 | (rest & 127));
        }
        octets.push(rest);
      }
      octets.push(...ascii(text));
    }
  }
  return Uint8Array.from(octets);
}

export const requestFields: Fields = [
  ":method",
  "POST",
  ":scheme",
  "https",
  ":path",
  "/bank.v1.BankService/GetBalance",
  ":authority",
  "bank.test",
  "content-type",
  "application/grpc",
  "te",
  "trailers",
];

/** HEADERS with a whole block. */
export function headersFrame(
  streamId: number,
  fields: Fields | Uint8Array = requestFields,
  options: { readonly end?: boolean; readonly flags?: number } = {},
): Uint8Array {
  const block = fields instanceof Uint8Array ? fields : literalBlock(fields);
  const flagBits =
    (options.flags ?? flags.END_HEADERS) | ((options.end ?? false) ? flags.END_STREAM : 0);
  return frame(frameTypes.HEADERS, flagBits, streamId, block);
}

export function dataFrame(
  streamId: number,
  data: Uint8Array | string | number,
  options: { readonly end?: boolean } = {},
): Uint8Array {
  const body = typeof data === "number" ? new Uint8Array(data) : data;
  return frame(
    frameTypes.DATA,
    (options.end ?? false) ? flags.END_STREAM : 0,
    streamId,
    typeof body === "string" ? ascii(body) : body,
  );
}

export function resetFrame(streamId: number, code: ErrorCode = errorCodes.CANCEL): Uint8Array {
  return frame(frameTypes.RST_STREAM, 0, streamId, uint32(code));
}

export function settingsFrame(...settings: readonly (readonly [number, number])[]): Uint8Array {
  return frame(
    frameTypes.SETTINGS,
    0,
    0,
    settings.flatMap(([id, value]) => [id >> 8, id & 0xff, ...uint32(value)]),
  );
}

export const settingsAck: Uint8Array = frame(frameTypes.SETTINGS, flags.ACK, 0);

export function pingFrame(low: number, flagBits = 0): Uint8Array {
  return frame(frameTypes.PING, flagBits, 0, [...uint32(0xdead), ...uint32(low)]);
}

export function windowUpdate(streamId: number, increment: number): Uint8Array {
  return frame(frameTypes.WINDOW_UPDATE, 0, streamId, uint32(increment));
}

export function goawayFrame(last: number, code: ErrorCode = 0): Uint8Array {
  return frame(frameTypes.GOAWAY, 0, 0, [...uint32(last), ...uint32(code)]);
}

/** Cuts octets into frames; octets that are left over are an error of the test. */
export function parseFrames(octets: Uint8Array): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < octets.length;) {
    const view = Buffer.from(octets.buffer, octets.byteOffset + at, octets.length - at);
    const length = view.readUIntBE(0, 3);
    if (view.length < 9 + length) {
      throw new Error("the output ends inside a frame");
    }
    frames.push({
      type: view[3]!,
      flags: view[4]!,
      streamId: view.readUInt32BE(5),
      payload: Uint8Array.from(view.subarray(9, 9 + length)),
    });
    at += 9 + length;
  }
  return frames;
}

/** The 32-bit number at an offset of a frame's payload. */
export function payloadUint32(source: Frame | undefined, at = 0): number {
  return Buffer.from(source?.payload ?? []).readUInt32BE(at);
}

/** Decodes blocks of one connection in order. */
export class BlockReader {
  readonly #decoder = new HpackDecoder(4_096);

  read(block: Uint8Array): string[] {
    const fields: string[] = [];
    const sink: FieldSink = { field: (name, value) => void fields.push(name, value) };
    this.#decoder.decode(block, 0, block.length, sink);
    return fields;
  }
}

/** Encodes blocks of one connection in order, with the dynamic table in use. */
export class BlockWriter {
  readonly #encoder = new HpackEncoder({
    tableSize: 4_096,
    neverIndexed: new Set(),
    seldomRepeated: new Set(),
    huffman: true,
  });

  write(fields: Fields): Uint8Array {
    const output = new Output();
    this.#encoder.beginBlock(output);
    this.#encoder.encode(output, fields);
    return output.take()?.slice() ?? new Uint8Array(0);
  }
}

/** An event as the tests compare it. */
export type LoggedEvent =
  | {
      readonly on: "request";
      readonly id: number;
      readonly head: RequestHead;
      readonly end: boolean;
    }
  | {
      readonly on: "response";
      readonly id: number;
      readonly head: ResponseHead;
      readonly end: boolean;
    }
  | { readonly on: "informational"; readonly id: number; readonly status: number }
  | { readonly on: "data"; readonly id: number; readonly bytes: Uint8Array; readonly end: boolean }
  | { readonly on: "trailers"; readonly id: number; readonly fields: Fields }
  | { readonly on: "reset"; readonly id: number; readonly reset: StreamReset }
  | { readonly on: "drain"; readonly id: number }
  | {
      readonly on: "close";
      readonly code: string;
      readonly wireCode: number;
      readonly message: string;
    }
  | { readonly on: "draining" }
  | { readonly on: "available" }
  | { readonly on: "pong"; readonly roundTripMs: number };

/** The events of one kind. */
export function eventsOf<On extends LoggedEvent["on"]>(
  log: readonly LoggedEvent[],
  on: On,
): Extract<LoggedEvent, { on: On }>[] {
  return log.filter((event): event is Extract<LoggedEvent, { on: On }> => event.on === on);
}

/** What the tests attach to a stream. */
export interface TestCall {
  id: number;
}

/** One machine, its events written down, and a raw peer's way of talking to it. */
export interface Rig<Side> {
  readonly side: Side;
  readonly core: Core;
  readonly log: LoggedEvent[];
  /** The time that goes with the next calls, in milliseconds. */
  now: number;
  /** Gives octets to the machine and returns the frames it answers with. */
  send(...octets: readonly Uint8Array[]): Frame[];
  /** The frames that wait to be taken. */
  output(): Frame[];
  /** Brings a time and returns the frames that it caused. */
  tickAt(now: number): Frame[];
}

type ServerExtras = Partial<Omit<ServerOptions<TestCall>, "role" | "events">> & {
  readonly onRequest?: (
    side: ServerConnection,
    id: number,
    head: RequestHead,
    end: boolean,
  ) => void;
  readonly onData?: (side: ServerConnection, id: number, bytes: Uint8Array, end: boolean) => void;
};
type ClientExtras = Partial<Omit<ClientOptions<TestCall>, "role" | "events">> & {
  readonly onData?: (side: Connection, id: number, bytes: Uint8Array) => void;
};

/** A server whose client's preface has been read and whose own first output has been taken. */
export function startServer(extras: ServerExtras = {}): Rig<ServerConnection> {
  const rig = startBareServer(extras);
  rig.send(clientPreface, settingsFrame(), settingsAck);
  return rig;
}

/** A server that has read nothing. */
export function startBareServer(extras: ServerExtras = {}): Rig<ServerConnection> {
  const log: LoggedEvent[] = [];
  const core = createCore<TestCall>({
    role: "server",
    now: 0,
    ...extras,
    events: {
      ...streamEvents(log),
      onRequest: (id, head, end) => {
        log.push({ on: "request", id, head, end });
        extras.onRequest?.(side, id, head, end);
        return { id };
      },
      onData: (call, bytes, end) => {
        log.push({ on: "data", id: call.id, bytes, end });
        extras.onData?.(side, call.id, bytes, end);
      },
    },
  });
  const side: ServerConnection = new Machine(core);
  return rigOf(side, core, log);
}

/** A client whose server's SETTINGS have been read and whose own first output has been taken. */
export function startClient(extras: ClientExtras = {}): Rig<ClientConnection<TestCall>> {
  const rig = startBareClient(extras);
  rig.output();
  rig.send(settingsFrame(), settingsAck);
  return rig;
}

/** A client that has read nothing. */
export function startBareClient(extras: ClientExtras = {}): Rig<ClientConnection<TestCall>> {
  const log: LoggedEvent[] = [];
  const core = createCore<TestCall>({
    role: "client",
    now: 0,
    ...extras,
    events: {
      ...streamEvents(log),
      onResponse: (call, head, end) => void log.push({ on: "response", id: call.id, head, end }),
      onInformational: (call, head) =>
        void log.push({ on: "informational", id: call.id, status: head.status }),
      onAvailable: () => void log.push({ on: "available" }),
      onData: (call, bytes, end) => {
        log.push({ on: "data", id: call.id, bytes, end });
        extras.onData?.(side, call.id, bytes);
      },
    },
  });
  const side: ClientConnection<TestCall> = new Machine(core);
  return rigOf(side, core, log);
}

/** Opens a stream on a client under test and returns its number. */
export function openRequest(
  rig: Rig<ClientConnection<TestCall>>,
  options: { readonly data?: Uint8Array; readonly end?: boolean; readonly fields?: Fields } = {},
): number {
  const call: TestCall = { id: 0 };
  const { fields = requestFields, ...rest } = options;
  call.id = rig.side.request(fields, { call, ...rest });
  return call.id;
}

function streamEvents(log: LoggedEvent[]) {
  return {
    onData: (call: TestCall, bytes: Uint8Array, end: boolean): void =>
      void log.push({ on: "data", id: call.id, bytes, end }),
    onTrailers: (call: TestCall, fields: Fields): void =>
      void log.push({ on: "trailers", id: call.id, fields }),
    onReset: (call: TestCall, reset: StreamReset): void =>
      void log.push({ on: "reset", id: call.id, reset }),
    onDrain: (call: TestCall): void => void log.push({ on: "drain", id: call.id }),
    onClose: ({ error }: { error?: { code: string; wireCode: number; message: string } }): void =>
      void log.push({
        on: "close",
        code: error?.code ?? "none",
        wireCode: error?.wireCode ?? 0,
        message: error?.message ?? "",
      }),
    onDraining: (): void => void log.push({ on: "draining" }),
    onPong: (roundTripMs: number): void => void log.push({ on: "pong", roundTripMs }),
  };
}

function rigOf<Side extends ServerConnection | ClientConnection<TestCall>>(
  side: Side,
  core: Core,
  log: LoggedEvent[],
): Rig<Side> {
  const rig: Rig<Side> = {
    side,
    core,
    log,
    now: 0,
    send(...octets) {
      for (const piece of octets) {
        side.receive(piece, rig.now);
      }
      return rig.output();
    },
    output() {
      const taken: Uint8Array[] = [];
      for (let part = side.takeOutput(rig.now); part; part = side.takeOutput(rig.now)) {
        taken.push(part);
      }
      let octets = concat(...taken);
      if (Buffer.from(octets.subarray(0, clientPreface.length)).equals(clientPreface)) {
        octets = octets.subarray(clientPreface.length);
      }
      return parseFrames(octets);
    },
    tickAt(now) {
      rig.now = now;
      side.tick(now);
      return rig.output();
    },
  };
  return rig;
}
