/**
 * How column values arrive: int8 as bigint (also inside arrays), bytea as Buffer, timestamptz as Date, json and jsonb
 * parsed, numeric as string. Given to each client, so nothing global changes.
 */
import pg from "pg";

const int8 = 20;
const int8Array = 1016;

type Parse = (value: string) => unknown;

function parseInt8Array(value: string): unknown {
  const inner = value.slice(1, -1);
  return inner === "" ? [] : inner.split(",").map((item) => (item === "NULL" ? null : BigInt(item)));
}

/** The type parsers of our clients, in the shape `pg` takes as its `types` option. */
export const columnTypes: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: "text" | "binary"): Parse => {
    if (format !== "binary" && oid === int8) return BigInt;
    if (format !== "binary" && oid === int8Array) return parseInt8Array;
    return pg.types.getTypeParser(oid, format as "text") as Parse;
  },
};
