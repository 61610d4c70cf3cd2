import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  Filter_Function as F,
  FilterSchema,
  Sort_Direction,
  SortSchema,
} from "@flyte-ts/contract/flyteidl2/common/list_pb.ts";
import { type ListRules, parseListRequest } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import { testDatabase } from "@flyte-ts/platform/postgres/testing.ts";
import fc from "fast-check";
import { filterSql, listPage, listSql, type PageKeys, type SqlColumn } from "./list-sql.ts";

const rules: ListRules<SqlColumn> = {
  columns: {
    name: { sql: "name", type: "text", notNull: true },
    owner: { sql: "owner", type: "text" },
    phase: { sql: "phase", type: "phase", notNull: true },
    duration_ms: { sql: "(extract(epoch from ended_at - created_at) * 1000)::bigint", type: "int" },
    created_at: { sql: "created_at", type: "timestamp", notNull: true },
    ended_at: { sql: "ended_at", type: "timestamp" },
    is_root: { sql: "is_root", type: "bool", notNull: true },
    labels: { sql: "labels", type: "labels" },
  },
  defaultOrder: [{ field: "created_at", descending: true }],
  tieBreak: { field: "id", column: { sql: "id", type: "int", notNull: true } },
};

/** Ids 1 to 6; owner and end are absent in some, texts hold what SQL and LIKE care about. */
const ROWS = `
  insert into things (id, name, owner, phase, created_at, ended_at, is_root, labels) values
  (1, 'alpha.one', 'ann', 5, '2026-01-01T00:00:00.000001Z', '2026-01-01T00:00:01Z', true, '{"team":"red","tier":""}'),
  (2, 'alpha.two', null, 6, '2026-01-01T00:00:00.000001Z', null, false, '{"team":"blue"}'),
  (3, '100%_sure', 'bob', 10, '2026-01-01T00:00:00.000002Z', '2026-01-02T00:00:00Z', true, '{}'),
  (4, 'back\\slash', 'ann', 1, '2026-02-01T00:00:00Z', null, false, '{"te.am/x":"red"}'),
  (5, 'quote''s', '', 10, '2026-02-02T00:00:00Z', '2026-02-02T00:00:00.002Z', true, '{"team":"red"}'),
  (6, '100 percent', 'Bob', 0, '2026-02-03T00:00:00Z', null, true, '{"team":"RED"}')`;

describe("lists in PostgreSQL", () => {
  const afters: (() => Promise<void>)[] = [];
  let database: Database;

  before(async () => {
    database = await testDatabase({ after: (hook) => void afters.push(hook) });
    await database.query({
      text: `create table things (id bigint primary key, name text not null, owner text, phase smallint not null,
        created_at timestamptz not null, ended_at timestamptz, is_root boolean not null, labels jsonb not null)`,
    });
    await database.query({ text: ROWS });
  });
  after(async () => {
    for (const hook of afters) await hook();
  });

  type Sorting = [string, "asc" | "desc"];

  function parse(filters: [F, string, ...string[]][], sort: Sorting[] = [["name", "asc"]], limit = 0, token = "") {
    return parseListRequest(
      {
        limit,
        token,
        filters: filters.map(([f, field, ...values]) => create(FilterSchema, { function: f, field, values })),
        sortByFields: sort.map(([key, way]) =>
          create(SortSchema, { key, direction: way === "asc" ? Sort_Direction.ASCENDING : Sort_Direction.DESCENDING }),
        ),
      },
      rules,
    );
  }

  async function page(query: ReturnType<typeof parse>) {
    // A parameter of the statement's own, to see that the numbers do not meet.
    const list = listSql(query, [0]);
    const { rows } = await database.query<{ id: bigint } & PageKeys>({
      text: `select id, ${list.keys} from things where id > $1 and ${list.where} ${list.tail}`,
      values: list.values,
    });
    return listPage(query, rows);
  }

  async function ids(...filters: [F, string, ...string[]][]): Promise<number[]> {
    const { rows } = await page(parse(filters));
    return rows.map((row) => Number(row.id)).sort();
  }

  test("texts", async () => {
    assert.deepEqual(await ids([F.EQUAL, "name", "quote's"]), [5]);
    assert.deepEqual(await ids([F.EQUAL, "owner", "ann"]), [1, 4]);
    assert.deepEqual(await ids([F.NOT_EQUAL, "owner", "ann"]), [2, 3, 5, 6]);
    assert.deepEqual(await ids([F.VALUE_IN, "owner", "bob"]), [3]);
    assert.deepEqual(await ids([F.VALUE_IN, "owner", "bob", "ann"]), [1, 3, 4]);
    assert.deepEqual(await ids([F.VALUE_NOT_IN, "owner", "bob", "ann"]), [2, 5, 6]);
    assert.deepEqual(await ids([F.CONTAINS, "name", "alpha."]), [1, 2]);
    assert.deepEqual(await ids([F.CONTAINS_CASE_INSENSITIVE, "owner", "BO"]), [3, 6]);
    assert.deepEqual(await ids([F.ENDS_WITH, "name", "one"]), [1]);
    assert.deepEqual(await ids([F.NOT_ENDS_WITH, "owner", "ob"]), [1, 2, 4, 5]);
    assert.deepEqual(await ids([F.EXISTS, "owner"]), [1, 3, 4, 6]);
    assert.deepEqual(await ids([F.NOT_EXISTS, "owner"]), [2, 5]);
    assert.deepEqual(await ids([F.GREATER_THAN, "name", "a"], [F.LESS_THAN, "name", "b"]), [1, 2]);
  });

  test("wildcards of LIKE are plain characters", async () => {
    assert.deepEqual(await ids([F.CONTAINS, "name", "%"]), [3]);
    assert.deepEqual(await ids([F.CONTAINS, "name", "0%_s"]), [3]);
    assert.deepEqual(await ids([F.CONTAINS, "name", "l_h"]), []);
    assert.deepEqual(await ids([F.CONTAINS, "name", "k\\s"]), [4]);
    assert.deepEqual(await ids([F.ENDS_WITH, "name", "\\slash"]), [4]);
  });

  test("numbers, phases, times, booleans", async () => {
    assert.deepEqual(await ids([F.EQUAL, "phase", "1", "0"]), [3, 5]);
    assert.deepEqual(await ids([F.VALUE_IN, "phase", "1", "0"]), [4, 6]);
    assert.deepEqual(await ids([F.GREATER_THAN, "duration_ms", "2"]), [1, 3]);
    assert.deepEqual(await ids([F.NOT_EQUAL, "duration_ms", "1000"]), [2, 3, 4, 5, 6]);
    assert.deepEqual(await ids([F.NOT_EXISTS, "ended_at"]), [2, 4, 6]);
    assert.deepEqual(await ids([F.EQUAL, "created_at", "2026-01-01T01:00:00.000001+01:00"]), [1, 2]);
    assert.deepEqual(
      await ids(
        [F.GREATER_THAN_OR_EQUAL, "created_at", "2026-02-01"],
        [F.LESS_THAN, "created_at", "2026-02-03T00:00:00Z"],
      ),
      [4, 5],
    );
    assert.deepEqual(await ids([F.EQUAL, "is_root", "false"]), [2, 4]);
    assert.deepEqual(await ids([F.VALUE_IN, "is_root", "false", "TRUE"]), [1, 2, 3, 4, 5, 6]);
  });

  test("labels", async () => {
    assert.deepEqual(await ids([F.EQUAL, "labels.team", "red"]), [1, 5]);
    assert.deepEqual(await ids([F.EQUAL, "labels.te.am/x", "red"]), [4]);
    assert.deepEqual(await ids([F.NOT_EQUAL, "labels.team", "red"]), [2, 3, 4, 6]);
    assert.deepEqual(await ids([F.EXISTS, "labels.tier"]), [1]);
    assert.deepEqual(await ids([F.NOT_EXISTS, "labels.team"]), [3, 4]);
    assert.deepEqual(await ids([F.VALUE_IN, "labels.team", "red", "blue"]), [1, 2, 5]);
    assert.deepEqual(await ids([F.CONTAINS_CASE_INSENSITIVE, "labels.team", "re"]), [1, 5, 6]);
  });

  test("nothing a client sends becomes SQL", async () => {
    const attacks = [
      "' or true --",
      "'; drop table things; --",
      "\\'; drop table things; --",
      "$1",
      '{"team":"red"}',
      "%' or '1'='1",
    ];
    for (const attack of attacks) {
      for (const f of [F.EQUAL, F.VALUE_IN, F.CONTAINS, F.CONTAINS_CASE_INSENSITIVE, F.ENDS_WITH]) {
        assert.deepEqual(await ids([f, "name", attack]), []);
        assert.deepEqual(await ids([f, `labels.${attack}`, attack]), []);
      }
      assert.deepEqual(await ids([F.EXISTS, `labels.${attack}`]), []);
      assert.equal((await page(parse([], [[`labels.${attack}`, "desc"]]))).rows.length, 6);
    }
    assert.equal((await ids()).length, 6);
  });

  test("filters alone, for counts", async () => {
    const filter = filterSql(parse([[F.EQUAL, "owner", "ann"]], [["name", "asc"]], 1), ["x"]);
    const { rows } = await database.query<{ count: bigint }>({
      text: `select count(*) from things where $1 = 'x' and ${filter.where}`,
      values: filter.values,
    });
    assert.equal(rows[0]?.count, 2n);
    assert.equal(filterSql(parse([])).where, "true");
  });

  test("an offset skips rows", async () => {
    const second = await page(parse([], [["name", "asc"]], 2, "2"));
    const all = await page(parse([]));
    assert.deepEqual(
      second.rows.map((row) => row.id),
      all.rows.slice(2, 4).map((row) => row.id),
    );
    assert.equal((await page(parse([], [["name", "asc"]], 2, "6"))).token, "");
  });

  test("pages joined are the whole list, in every order", async () => {
    const field = fc.constantFrom(...Object.keys(rules.columns).filter((name) => name !== "labels"), "labels.team");
    const sorting = fc.array(fc.tuple(field, fc.constantFrom("asc" as const, "desc" as const)), { maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(sorting, fc.integer({ min: 1, max: 7 }), async (sort, limit) => {
        const whole = (await page(parse([], sort))).rows.map((row) => row.id);
        assert.equal(whole.length, 6);
        const joined: bigint[] = [];
        let token = "";
        do {
          const part = await page(parse([], sort, limit, token));
          joined.push(...part.rows.map((row) => row.id));
          token = part.token;
          assert.ok(joined.length <= 6, "the pages do not end");
        } while (token !== "");
        assert.deepEqual(joined, whole);
      }),
      { numRuns: 150 },
    );
  });

  test("a row that comes or goes before the page moves nothing", async () => {
    const first = await page(parse([], [["created_at", "desc"]], 2));
    assert.deepEqual(
      first.rows.map((row) => row.id),
      [6n, 5n],
    );
    await database.query({
      text: `insert into things select 7, 'late', null, 1, '2026-03-01', null, true, '{}'`,
    });
    await database.query({ text: "delete from things where id = 6" });
    const second = await page(parse([], [["created_at", "desc"]], 2, first.token));
    assert.deepEqual(
      second.rows.map((row) => row.id),
      [4n, 3n],
    );
    await database.query({ text: "delete from things where id = 7" });
    await database.query({
      text: `insert into things select 6, '100 percent', 'Bob', 0, '2026-02-03T00:00:00Z', null, true, '{"team":"RED"}'`,
    });
  });
});
