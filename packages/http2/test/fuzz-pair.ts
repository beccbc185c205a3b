import assert from "node:assert/strict";
import { encodeHeaderBlock, errorCodes } from "@handfast/http2";
import type { ClientConnection, Fields, ServerConnection } from "@handfast/http2";
import { createCore } from "../src/connection.ts";
import type { Core } from "../src/core.ts";
import { Machine } from "../src/machine.ts";
import { checkInvariants } from "./invariants.ts";

/** A command: which, for which of the open calls, and a number it may need. */
export type Step = readonly [command: number, call: number, amount: number];

/** One end of a call as its application sees it. */
interface CallEnd {
  id: number;
  /** Octets sent and received so far: the position in each direction's pattern. */
  sent: number;
  received: number;
  unconsumed: number;
  headGiven: boolean;
  ended: boolean;
  over: boolean;
}

/**
 * A client and a server machine with two slow wires between them. Each octet of a call is a function of
 * the peer's name, the call and its position, so one that strays, is lost or comes twice is noticed.
 */
export class Pair {
  readonly clientSent: Uint8Array[] = [];
  readonly serverSent: Uint8Array[] = [];
  readonly #name: string;
  readonly #client: ClientConnection<CallEnd>;
  readonly #server: ServerConnection;
  readonly #cores: readonly [client: Core, server: Core];
  readonly #clientCalls: CallEnd[] = [];
  readonly #serverCalls: CallEnd[] = [];
  #toServer: Uint8Array = new Uint8Array(0);
  #toClient: Uint8Array = new Uint8Array(0);
  #now: number = 0;
  #shuttingDown: boolean = false;

  constructor(name = "peer", streamWindow = 70_000) {
    this.#name = name;
    const settings = { streamWindow, connectionWindow: 100_000, maxConcurrentStreams: 8 };
    const limits = {
      peerResets: unlimited,
      forcedResets: unlimited,
      refusedStreams: unlimited,
      emptyFrames: unlimited,
      pings: { minIntervalMs: 0, maxStrikes: 0 },
      outputHighWater: 30_000,
      streamHighWater: 20_000,
    };
    const clientCore = createCore<CallEnd>({
      role: "client",
      now: 0,
      settings,
      limits,
      events: {
        onResponse: (call, { status, fields }, end) => {
          assert.equal(status, 200);
          this.#checkFields(fields, call.id);
          call.over ||= end;
        },
        onData: (call, bytes, end) => this.#receive(call, bytes, { end, from: 1 }),
        onTrailers: (call, fields) => {
          this.#checkFields(fields, call.id);
          call.over = true;
        },
        onReset: (call) => void (call.over = true),
        onClose: ({ error }) => assert.equal(error, undefined),
      },
    });
    const serverCore = createCore<CallEnd>({
      role: "server",
      now: 0,
      settings,
      limits,
      events: {
        onRequest: (id, head, end) => {
          this.#checkFields(head.fields, id);
          const call = newCall(id);
          call.over = end;
          this.#serverCalls.push(call);
          return call;
        },
        onData: (call, bytes, end) => this.#receive(call, bytes, { end, from: 0 }),
        onTrailers: (call) => void (call.over = true),
        onReset: (call) => {
          call.over = true;
          call.ended = true;
          this.#server.release(call.id);
        },
        onClose: ({ error }) => assert.equal(error, undefined),
      },
    });
    this.#client = new Machine(clientCore);
    this.#server = new Machine(serverCore);
    this.#cores = [clientCore, serverCore];
  }

  /** Streams that the client has opened. */
  get callsMade(): number {
    return this.#clientCalls.length;
  }

  /** Gives commands and moves octets, checking the accounts after each. */
  run(steps: readonly Step[]): void {
    for (const step of steps) {
      this.#command(step);
      for (const core of this.#cores) {
        checkInvariants(core);
      }
    }
  }

  /** Ends all calls and lets the wires run empty: nothing may be left over. */
  finish(): void {
    for (let round = 0; ; round += 1) {
      assert.ok(round < 2_000, "it comes to an end");
      this.#endAll();
      const before = this.clientSent.length + this.serverSent.length;
      const onTheWay = this.#toServer.length + this.#toClient.length;
      this.#deliver(Infinity, true);
      this.#deliver(Infinity, false);
      if (onTheWay === 0 && before === this.clientSent.length + this.serverSent.length) {
        break;
      }
    }
    const [client, server] = this.#cores;
    assert.equal(client.streams.size, 0);
    assert.equal(server.streams.size, 0);
    assert.equal(server.held.size, 0);
    // A machine that has closed announces no more windows.
    const isOver = client.phase === "closed" || server.phase === "closed";
    assert.ok(
      isOver || client.sendWindow === server.window.left,
      "the server's window, on both sides",
    );
    assert.ok(
      isOver || server.sendWindow === client.window.left,
      "the client's window, on both sides",
    );
  }

  #command([command, pick, amount]: Step): void {
    this.#now += amount % 7;
    const clientCall = this.#clientCalls.filter(({ over, ended }) => !over || !ended)[pick];
    const serverCall = this.#serverCalls.filter(({ ended }) => !ended)[pick];
    switch (command) {
      case 0:
      case 1:
        this.#request(amount, command === 1);
        break;
      case 2:
        this.#clientData(clientCall, amount, false);
        break;
      case 3:
        this.#clientData(clientCall, amount, true);
        break;
      case 4:
        this.#consume(clientCall, amount, this.#client);
        break;
      case 5:
        this.#consume(serverCall, amount, this.#server);
        break;
      case 6:
        if (clientCall !== undefined && amount % 4 === 0) {
          this.#client.reset(clientCall.id, errorCodes.CANCEL);
          clientCall.over = clientCall.ended = true;
        }
        break;
      case 7:
        if (serverCall !== undefined && amount % 4 === 0) {
          this.#server.reset(serverCall.id, errorCodes.CANCEL);
          serverCall.over = serverCall.ended = true;
        }
        break;
      case 8:
        this.#respond(serverCall, amount);
        break;
      case 9:
        this.#serverData(serverCall, amount, false);
        break;
      case 10:
        this.#serverData(serverCall, amount, true);
        break;
      case 11:
        if (serverCall !== undefined && amount % 5 === 0) {
          this.#server.discard(serverCall.id);
          serverCall.over = true;
        }
        break;
      case 12:
        this.#client.ping(this.#now);
        break;
      case 13:
        if (amount % 40 === 0 && !this.#shuttingDown) {
          this.#shuttingDown = true;
          this.#server.shutdown(this.#now);
        }
        break;
      default:
        this.#deliver(amount, command % 2 === 0);
    }
  }

  #request(amount: number, end: boolean): void {
    const call = newCall(0);
    const data = this.#pattern(
      this.#client.availableStreams === 0 ? 0 : this.#nextId(),
      0,
      amount % 3_000,
    );
    const fields = [...requestHead, ...this.#stamp(this.#nextId())];
    call.id = this.#client.request(fields, { call, data, end });
    if (call.id !== 0) {
      assert.equal(call.id, this.#nextId() - 2);
      call.sent = data.length;
      call.ended = end;
      this.#clientCalls.push(call);
    }
  }

  #nextId(): number {
    return this.#cores[0].nextOwnStream;
  }

  #clientData(call: CallEnd | undefined, amount: number, end: boolean): void {
    if (call === undefined || call.ended) {
      return;
    }
    this.#client.sendData(call.id, this.#pattern(call.id, call.sent, amount), { end });
    call.sent += amount;
    call.ended = end;
  }

  #serverData(call: CallEnd | undefined, amount: number, end: boolean): void {
    if (call === undefined) {
      return;
    }
    if (!call.headGiven) {
      call.headGiven = true;
      this.#server.sendHead(call.id, [":status", "200", ...this.#stamp(call.id)]);
    }
    const whole = this.#pattern(call.id + 1, call.sent, amount);
    const parts = [whole.subarray(0, amount >> 2), whole.subarray(amount >> 2)];
    this.#server.sendData(call.id, parts, { end });
    call.sent += amount;
    call.ended = end;
  }

  #respond(call: CallEnd | undefined, amount: number): void {
    if (call === undefined || call.headGiven) {
      return;
    }
    this.#server.respond(call.id, {
      head: [preEncodedHead, this.#stamp(call.id)],
      data: this.#pattern(call.id + 1, 0, amount),
      trailers: this.#stamp(call.id),
    });
    call.headGiven = call.ended = true;
  }

  #consume(
    call: CallEnd | undefined,
    amount: number,
    side: { consume(streamId: number, length: number): void },
  ): void {
    if (call !== undefined) {
      const length = Math.min(amount, call.unconsumed);
      side.consume(call.id, call.over && call.ended ? 0 : length);
      call.unconsumed -= length;
    }
  }

  #receive(call: CallEnd, bytes: Uint8Array, { end, from }: { end: boolean; from: number }): void {
    const expected = this.#pattern(call.id + from, call.received, bytes.length);
    assert.ok(
      Buffer.from(expected).equals(bytes),
      `call ${call.id}: octets are those that were sent`,
    );
    call.received += bytes.length;
    call.unconsumed += bytes.length;
    call.over ||= end;
  }

  /** Moves octets over one wire, and answers back onto the other. */
  #deliver(amount: number, toServer: boolean): void {
    if (toServer) {
      this.#collect(this.#client, this.clientSent, true);
      const piece = this.#toServer.slice(0, amount);
      this.#toServer = this.#toServer.subarray(piece.length);
      this.#server.receive(piece, this.#now);
    } else {
      this.#collect(this.#server, this.serverSent, false);
      const piece = this.#toClient.slice(0, amount);
      this.#toClient = this.#toClient.subarray(piece.length);
      this.#client.receive(piece, this.#now);
    }
  }

  #collect(
    side: { takeOutput(now: number): Uint8Array | undefined },
    sent: Uint8Array[],
    toServer: boolean,
  ): void {
    const output = side.takeOutput(this.#now);
    if (output === undefined) {
      return;
    }
    const wire = toServer ? this.#toServer : this.#toClient;
    const joined = new Uint8Array(Buffer.concat([wire, output]));
    sent.push(output.slice());
    if (toServer) {
      this.#toServer = joined;
    } else {
      this.#toClient = joined;
    }
  }

  #endAll(): void {
    for (const call of this.#clientCalls) {
      this.#clientData(call, 0, true);
      this.#consume(call, Infinity, this.#client);
    }
    for (const call of this.#serverCalls) {
      this.#consume(call, Infinity, this.#server);
      if (!call.ended) {
        this.#serverData(call, 0, true);
      }
    }
  }

  #pattern(seed: number, from: number, length: number): Uint8Array {
    const base = seed * 31 + this.#name.charCodeAt(0) * 7;
    return Uint8Array.from({ length }, (_, index) => base + (from + index) * 3);
  }

  /** Fields that say whose they are. */
  #stamp(id: number): Fields {
    return ["x-owner", this.#name, "x-call", `${this.#name}-${id}`];
  }

  #checkFields(fields: Fields, id: number): void {
    assert.deepEqual(fields, fields.length === 0 ? [] : this.#stamp(id));
  }
}

function newCall(id: number): CallEnd {
  return { id, sent: 0, received: 0, unconsumed: 0, headGiven: false, ended: false, over: false };
}

const requestHead: Fields = [":method", "POST", ":scheme", "https", ":path", "/x"];
const preEncodedHead = encodeHeaderBlock([":status", "200"]);
const unlimited = { burst: 1_000_000, perSecond: 1_000_000 };
