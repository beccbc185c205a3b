/** What was put last, up to a limit; the one put longest ago is forgotten first. */
export interface Recent<Value> {
  /** The value, which is forgotten. */
  take(key: string): Value | undefined;
  get(key: string): Value | undefined;
  put(key: string, value: Value): void;
  values(): Iterable<Value>;
  clear(): void;
}

export function createRecent<Value>(limit: number): Recent<Value> {
  const values = new Map<string, Value>();
  return {
    take(key) {
      const value = values.get(key);
      values.delete(key);
      return value;
    },
    get: (key) => values.get(key),
    put(key, value) {
      values.delete(key);
      values.set(key, value);
      if (values.size <= limit) return;
      for (const oldest of values.keys()) {
        values.delete(oldest);
        break;
      }
    },
    values: () => values.values(),
    clear: () => values.clear(),
  };
}
