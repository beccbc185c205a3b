// Messages out of bytes, however they are cut.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MessageReader, messagePrefix } from "../src/wire/message-reader.ts";

interface Reading {
  readonly reader: MessageReader;
  readonly messages: string[];
  readonly told: string[];
  consumed(): number;
}

function reading(maxMessageBytes = 1_000): Reading {
  const messages: string[] = [];
  const told: string[] = [];
  let consumed = 0;
  const reader = new MessageReader(
    { subject: "request", maxMessageBytes, encoding: undefined },
    {
      message(bytes) {
        messages.push(Buffer.from(bytes).toString("latin1"));
        reader.read();
      },
      end: () => told.push("end"),
      broken: ({ message }) => told.push(message),
      consumed(octets) {
        consumed += octets;
      },
    },
  );
  return { reader, messages, told, consumed: () => consumed };
}

function framed(texts: readonly string[]): Buffer {
  return Buffer.concat(
    texts.flatMap((text) => [messagePrefix(text.length, false), Buffer.from(text, "latin1")]),
  );
}

test("S37 wherever the bytes are cut, the messages are the same and every octet is consumed once", () => {
  const texts = fc.array(fc.string({ maxLength: 300, unit: "binary-ascii" }), { maxLength: 6 });
  const cuts = fc.array(fc.nat(40), { minLength: 1, maxLength: 10 });
  fc.assert(
    fc.property(texts, cuts, (expected, steps) => {
      const { reader, messages, told, consumed } = reading();
      const bytes = framed(expected);
      reader.read();
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const end = at + 1 + (steps[turn % steps.length] ?? 0);
        reader.push(bytes.subarray(at, end));
        at = end;
      }
      reader.finish();
      assert.deepEqual(messages, expected);
      assert.deepEqual(told, ["end"]);
      assert.equal(consumed(), bytes.length);
    }),
  );
});

test("S40 until a message is asked for, nothing is consumed, judged or told", () => {
  const { reader, messages, told, consumed } = reading(2);
  reader.push(framed(["far too long"]));
  reader.finish();
  assert.deepEqual([messages, told, consumed()], [[], [], 0]);
  reader.read();
  assert.deepEqual(told, ["request message of 12 bytes is larger than the limit of 2"]);
  reader.read();
  assert.equal(told.length, 1);
});

test("a length of up to 4 GiB is read as such, and refused before its bytes come", () => {
  const { reader, told } = reading();
  reader.read();
  reader.push(messagePrefix(2 ** 32 - 1, false));
  assert.deepEqual(told, ["request message of 4294967295 bytes is larger than the limit of 1000"]);
});
