import type { SharedBuckets } from "./shared-limit.ts";

/**
 * Runs a Lua script with one key: for iovalkey and ioredis `(script, key, values) => client.eval(script, 1, key,
 * ...values)`, for node-redis `client.eval(script, { keys: [key], arguments: [...values] })`.
 */
export type EvaluateScript = (
  script: string,
  key: string,
  values: readonly string[],
) => Promise<unknown>;

/**
 * Keeps buckets in Valkey or Redis, as keys `handfast:rate:…` that expire when they are full again. One script a
 * call; the clock is the store's.
 */
export function sharedLimitsInValkey(evaluate: EvaluateScript): SharedBuckets {
  return {
    async take({ key, costMs, toleranceMs }) {
      const values = [String(costMs), String(toleranceMs)];
      return Number(await evaluate(takeScript, `handfast:rate:${key}`, values));
    },
  };
}

/** Numbers go as text: a script's own would lose their fractions. */
const takeScript = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local cost = tonumber(ARGV[1])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + cost
local wait = full - tonumber(ARGV[2]) - now
if wait > 0.001 then return string.format('%.3f', wait) end
redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil(full - now))
return '0'`;
