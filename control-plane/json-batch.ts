/**
 * A batch of rows as one JSON parameter for `json_to_recordset`: cheap to build, and one plan serves any number of rows.
 * Bytes become PostgreSQL's hex text, 64-bit numbers text; the record definition in the statement gives the types back.
 */
export function jsonBatch(rows: readonly object[]): string {
  return JSON.stringify(rows.map(plain));
}

function plain(row: object): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(row)) {
    if (value instanceof Uint8Array) {
      result[key] = `\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex")}`;
    } else result[key] = typeof value === "bigint" ? value.toString() : value;
  }
  return result;
}

/**
 * The same rows in one order everywhere: two transactions that write the same new names wait for each other, they never
 * deadlock.
 */
export function inOrder<Row>(rows: readonly Row[], keyOf: (row: Row) => string): Row[] {
  return rows
    .map((row) => ({ row, key: keyOf(row) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ row }) => row);
}
