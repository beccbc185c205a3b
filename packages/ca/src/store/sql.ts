/**
 * How the stores speak to their databases: one set of statements, in the words that SQLite and
 * PostgreSQL share. `?` stands for a value, in order; a value never becomes part of the text.
 */
export type Statements = (sql: string) => Statement;

/** A statement, ready to be run with its values. */
export interface Statement {
  get(...values: SqlValue[]): Promise<Row | undefined>;
  all(...values: SqlValue[]): Promise<readonly Row[]>;
  /** Gives the number of rows that were written or removed. */
  run(...values: SqlValue[]): Promise<number>;
}

/** What can be written; times are milliseconds since 1970. */
export type SqlValue = string | number | Uint8Array | null;

/** A row by its columns' names; whole numbers may come as text, as PostgreSQL writes them. */
export type Row = Readonly<Record<string, unknown>>;

/** What SQLite and PostgreSQL say differently. */
export interface SqlDialect {
  /** An array of objects `{ kind, value }` from the names `n` of a certificate, as JSON text. */
  readonly namesAsJson: string;
}

/** The text in a column. */
export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== "string") throw new TypeError(`column ${column} holds no text`);
  return value;
}

/** The text in a column, or undefined for NULL. */
export function optionalText(row: Row, column: string): string | undefined {
  return row[column] === null ? undefined : text(row, column);
}

/** The bytes in a column. */
export function bytes(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) throw new TypeError(`column ${column} holds no bytes`);
  return value;
}

/** The time in a column of milliseconds. */
export function time(row: Row, column: string): Date {
  return new Date(Number(row[column]));
}

/** The same reads, whose failures are told in other words. */
export function explained<Reads extends object>(
  reads: Reads,
  explain: (error: unknown) => unknown,
): Reads {
  const entries = Object.entries(reads) as [string, (...given: unknown[]) => Promise<unknown>][];
  return Object.fromEntries(
    entries.map(([name, read]) => [
      name,
      (...given: unknown[]) =>
        read(...given).catch((error: unknown) => {
          throw explain(error);
        }),
    ]),
  ) as Reads;
}
