import assert from "node:assert/strict";
import { test } from "node:test";
import {
  badRequest,
  decodeStatusDetails,
  encodeStatusDetails,
  errorInfo,
  readBadRequest,
  readErrorInfo,
  readRetryInfo,
  retryInfo,
} from "../src/details.ts";
import type { GrpcErrorEntry } from "../src/errors.ts";
import { GrpcError, grpcErrors } from "../src/errors.ts";
import { statusName, statusNumbers } from "../src/status.ts";

test("every status but OK is an error code, with its number, a meaning and a hint", () => {
  const { OK, ...failures } = statusNumbers;
  assert.equal(OK, 0);
  const numbers = Object.entries(grpcErrors).map(([code, entry]) => [code, entry.status]);
  assert.deepEqual(Object.fromEntries(numbers), failures);
  for (const { message, hint } of Object.values<GrpcErrorEntry>(grpcErrors)) {
    assert.match(message, /^[a-z]/);
    assert.match(hint, /^[a-z`]/);
  }
});

test("a status number nobody defined is UNKNOWN", () => {
  assert.deepEqual([0, 16, 17, -1, 1.5].map(statusName), [
    "OK",
    "UNAUTHENTICATED",
    "UNKNOWN",
    "UNKNOWN",
    "UNKNOWN",
  ]);
});

test("details survive the wire and are read by kind", () => {
  const error = new GrpcError("RESOURCE_EXHAUSTED", "slow down", {
    details: [
      errorInfo({ reason: "RATE", domain: "bank.example.com", metadata: { limit: "5" } }),
      retryInfo({ delayMs: 1500 }),
      badRequest([{ field: "amount", description: "must be positive" }]),
    ],
  });
  const details = decodeStatusDetails(encodeStatusDetails(error));
  assert.deepEqual(readErrorInfo({ details }), {
    reason: "RATE",
    domain: "bank.example.com",
    metadata: { limit: "5" },
  });
  assert.deepEqual(readRetryInfo({ details }), { delayMs: 1500 });
  assert.deepEqual(readBadRequest({ details }), [
    { field: "amount", description: "must be positive" },
  ]);
});

test("an error without details sends none, and none are read from bytes that do not parse", () => {
  const error = new GrpcError("NOT_FOUND", "Account not found");
  assert.equal(encodeStatusDetails(error), undefined);
  assert.deepEqual(decodeStatusDetails(Uint8Array.of(0xff, 0xff, 0xff)), []);
  assert.deepEqual(
    [readErrorInfo(error), readRetryInfo(error), readBadRequest(error)],
    [undefined, undefined, []],
  );
});

test("a detail whose bytes do not parse is passed over", () => {
  const [info] = [errorInfo({ reason: "R", domain: "d" })];
  const damaged = { ...info, value: Uint8Array.of(0xff) };
  const details = [damaged, errorInfo({ reason: "R2", domain: "d" })];
  assert.equal(readErrorInfo({ details })?.reason, "R2");
});
