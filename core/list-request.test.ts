import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  Filter_Function as F,
  FilterSchema,
  type ListRequest,
  ListRequestSchema,
  Sort_Direction,
} from "@flyte-ts/contract/flyteidl2/common/list_pb.ts";
import fc from "fast-check";
import { AppError } from "./errors.ts";
import { type ListColumn, type ListRules, parseListRequest, tokenAfter } from "./list-request.ts";
import { parseListValue } from "./list-value.ts";

const rules: ListRules<ListColumn> = {
  columns: {
    name: { type: "text" },
    phase: { type: "phase" },
    duration_ms: { type: "int" },
    created_at: { type: "timestamp" },
    is_entrypoint: { type: "bool" },
    labels: { type: "labels" },
  },
  defaultOrder: [{ field: "created_at", descending: true }],
  tieBreak: { field: "id", column: { type: "int" } },
};

type Init = { limit?: number; token?: string; filters?: [F, string, ...string[]][]; sort?: [string, "asc" | "desc"][] };

function request({ limit = 0, token = "", filters = [], sort = [] }: Init): ListRequest {
  return create(ListRequestSchema, {
    limit,
    token,
    filters: filters.map(([f, field, ...values]) => create(FilterSchema, { function: f, field, values })),
    sortByFields: sort.map(([key, way]) => ({
      key,
      direction: way === "asc" ? Sort_Direction.ASCENDING : Sort_Direction.DESCENDING,
    })),
  });
}

const parse = (init: Init, more: Partial<ListRules<ListColumn>> = {}) =>
  parseListRequest(request(init), { ...rules, ...more });

function refused(action: () => unknown, message: RegExp) {
  assert.throws(action, (error: unknown) => {
    assert.ok(error instanceof AppError, String(error));
    assert.equal(error.kind, "invalid");
    assert.match(error.message, message);
    return true;
  });
}

describe("limit", () => {
  test("0 is the default, more than the most is refused", () => {
    assert.equal(parse({}).limit, 50);
    assert.equal(parseListRequest(undefined, rules).limit, 50);
    assert.equal(parse({ limit: 200 }).limit, 200);
    assert.equal(parse({ limit: 1000 }).limit, 200);
    assert.equal(parse({}, { defaultLimit: 7 }).limit, 7);
    assert.equal(parse({}, { defaultLimit: "all" }).limit, undefined);
    assert.equal(parse({ limit: 5000 }, { maxLimit: "any" }).limit, 5000);
  });
});

describe("order", () => {
  const fields = (init: Init) => parse(init).order.map((term) => `${term.field} ${term.descending ? "desc" : "asc"}`);

  test("the default, or what is asked, and always a tie-break in the last direction", () => {
    assert.deepEqual(fields({}), ["created_at desc", "id desc"]);
    assert.deepEqual(fields({ sort: [["name", "asc"]] }), ["name asc", "id asc"]);
    assert.deepEqual(
      fields({
        sort: [
          ["name", "asc"],
          ["phase", "desc"],
          ["name", "desc"],
        ],
      }),
      ["name asc", "phase desc", "id desc"],
    );
    assert.deepEqual(fields({ sort: [["labels.team", "asc"]] }), ["labels.team asc", "id asc"]);
  });

  test("sort_by is read, sort_by_fields wins, and no direction is descending", () => {
    const both = create(ListRequestSchema, { sortBy: { key: "name" }, sortByFields: [{ key: "phase" }] });
    assert.deepEqual(parseListRequest(both, rules).order[0], {
      field: "phase",
      column: { type: "phase" },
      descending: true,
    });
    const old = create(ListRequestSchema, { sortBy: { key: "name" } });
    assert.equal(parseListRequest(old, rules).order[0]?.field, "name");
  });

  test("an unknown field is refused and the right ones are named", () => {
    refused(
      () => parse({ sort: [["id; drop table runs", "asc"]] }),
      /sort by "id; drop table runs".*name, phase.*labels\.<key>/,
    );
    refused(() => parse({ sort: [["labels", "asc"]] }), /labels\.<key>/);
    refused(() => parse({ sort: [["constructor", "asc"]] }), /sort by "constructor"/);
    refused(
      () => parse({ sort: Array.from({ length: 11 }, () => ["name", "asc"] as ["name", "asc"]) }),
      /11 sort fields/,
    );
  });
});

describe("filters", () => {
  const one = (...filter: [F, string, ...string[]]) => parse({ filters: [filter] }).conditions[0];
  const text = { type: "text" };

  test("every function", () => {
    assert.deepEqual(one(F.EQUAL, "name", "a"), { column: text, test: "compare", operator: "=", value: "a" });
    assert.deepEqual(one(F.NOT_EQUAL, "name", "a"), { column: text, test: "compare", operator: "<>", value: "a" });
    assert.deepEqual(one(F.VALUE_IN, "name", "a"), { column: text, test: "in", negated: false, values: ["a"] });
    assert.deepEqual(one(F.VALUE_NOT_IN, "name", "a", "b"), {
      column: text,
      test: "in",
      negated: true,
      values: ["a", "b"],
    });
    assert.deepEqual(one(F.CONTAINS, "name", "50%"), {
      column: text,
      test: "contains",
      ignoreCase: false,
      text: "50%",
    });
    assert.deepEqual(one(F.CONTAINS_CASE_INSENSITIVE, "name", "A"), {
      column: text,
      test: "contains",
      ignoreCase: true,
      text: "A",
    });
    assert.deepEqual(one(F.ENDS_WITH, "name", "z"), { column: text, test: "ends", negated: false, text: "z" });
    assert.deepEqual(one(F.NOT_ENDS_WITH, "name", "z"), { column: text, test: "ends", negated: true, text: "z" });
    assert.deepEqual(one(F.EXISTS, "name"), { column: text, test: "exists", negated: false });
    assert.deepEqual(one(F.NOT_EXISTS, "labels.a.b/c"), {
      column: { type: "labels" },
      key: "a.b/c",
      test: "exists",
      negated: true,
    });
    const operators = [F.GREATER_THAN, F.GREATER_THAN_OR_EQUAL, F.LESS_THAN, F.LESS_THAN_OR_EQUAL].map((f) => {
      const condition = one(f, "duration_ms", "12");
      return condition?.test === "compare" && condition.operator;
    });
    assert.deepEqual(operators, [">", ">=", "<", "<="]);
  });

  test("values are read by the column's type", () => {
    const value = (...filter: [F, string, ...string[]]) => {
      const condition = one(...filter);
      return condition?.test === "compare" ? condition.value : undefined;
    };
    assert.equal(value(F.EQUAL, "duration_ms", "-12"), "-12");
    assert.equal(value(F.EQUAL, "is_entrypoint", "True"), "true");
    assert.equal(value(F.LESS_THAN, "created_at", "2026-11-24T10:00:00.5+01:00"), "2026-11-24T09:00:00.500000Z");
    assert.equal(value(F.EQUAL, "labels.cost", "12"), "12");
  });

  test("a single phase of the Python SDK arrives as its digits", () => {
    assert.deepEqual(one(F.EQUAL, "phase", "1", "0"), {
      column: { type: "phase" },
      test: "compare",
      operator: "=",
      value: "10",
    });
    assert.deepEqual(one(F.EQUAL, "phase", "5"), {
      column: { type: "phase" },
      test: "compare",
      operator: "=",
      value: "5",
    });
    assert.deepEqual(one(F.VALUE_IN, "phase", "1", "0"), {
      column: { type: "phase" },
      test: "in",
      negated: false,
      values: ["1", "0"],
    });
    refused(() => one(F.EQUAL, "phase", "10", "5"), /takes one value/);
  });

  test("what cannot be answered is refused", () => {
    refused(() => one(F.EQUAL, "nope", "a"), /filter by "nope"; the fields are name/);
    refused(() => one(F.EQUAL, "labels.", "a"), /labels\.<key>/);
    refused(() => one(F.EQUAL, "name.first", "a"), /filter by "name\.first"/);
    refused(() => one(F.EQUAL, "name"), /has no value/);
    refused(() => one(F.VALUE_IN, "name"), /has no value/);
    refused(() => one(F.EQUAL, "phase"), /has no value/);
    refused(() => one(F.EQUAL, "name", "a", "b"), /takes one value, not 2; use VALUE_IN/);
    refused(() => one(F.EQUAL, "phase", "running"), /not a whole number/);
    refused(() => one(F.EQUAL, "duration_ms", "1e3"), /not a whole number/);
    refused(() => one(F.EQUAL, "duration_ms", "9223372036854775808"), /64 bits/);
    refused(() => one(F.GREATER_THAN, "created_at", "yesterday"), /not a time/);
    refused(() => one(F.EQUAL, "is_entrypoint", "maybe"), /not true or false/);
    refused(() => one(F.GREATER_THAN, "is_entrypoint", "true"), /EQUAL or NOT_EQUAL/);
    refused(() => one(F.CONTAINS, "duration_ms", "1"), /not a text/);
    refused(() => one(F.EQUAL, "name", "a\0"), /NUL/);
    refused(() => one(F.EQUAL, "labels.a\0", "a"), /labels/);
    refused(() => one(99 as F, "name", "a"), /unknown function 99/);
    refused(
      () => parse({ filters: Array.from({ length: 101 }, () => [F.EQUAL, "name", "a"] as [F, string, string]) }),
      /101 filters/,
    );
    refused(() => parseListRequest(create(ListRequestSchema, { rawFilters: ["name=a"] }), rules), /raw_filters/);
  });
});

describe("token", () => {
  test("nothing is the first page, a number an offset", () => {
    assert.deepEqual(parse({}).start, { kind: "offset", offset: 0 });
    assert.deepEqual(parse({ token: "150" }).start, { kind: "offset", offset: 150 });
    for (const token of ["-1", "1.5", "abc", "9999999999", "k1.", "k1.e30", "k1.W10", " 1"]) {
      refused(() => parse({ token }), /page token/);
    }
  });

  test("ours comes back as it was, for any keys", () => {
    const sorted = parse({
      sort: [
        ["name", "asc"],
        ["duration_ms", "desc"],
      ],
    });
    fc.assert(
      fc.property(
        fc.option(fc.string().filter((s) => !s.includes("\0"))),
        fc.option(fc.bigInt(-(2n ** 62n), 2n ** 62n)),
        (name, ms) => {
          const keys = [name, ms === null ? null : ms.toString(), "7"];
          const token = tokenAfter(sorted, keys);
          assert.deepEqual(
            parse({
              sort: [
                ["name", "asc"],
                ["duration_ms", "desc"],
              ],
              token,
            }).start,
            { kind: "after", keys },
          );
        },
      ),
    );
  });

  test("of another order, or forged, it is refused", () => {
    const token = tokenAfter(parse({ sort: [["name", "asc"]] }), ["a", "1"]);
    refused(() => parse({ token }), /another sort order/);
    refused(() => parse({ sort: [["name", "desc"]], token }), /another sort order/);
    const forge = (content: unknown) => `k1.${Buffer.from(JSON.stringify(content)).toString("base64url")}`;
    for (const keys of [["a"], ["a", 1], ["a", "1", "2"], "a1", ["a", "x"], ["a", { $gt: 1 }]]) {
      refused(() => parse({ sort: [["name", "asc"]], token: forge(["name+,id+", keys]) }), /token/);
    }
  });

  test("garbage never gets past", () => {
    fc.assert(
      fc.property(fc.string(), (token) => {
        try {
          parse({ token });
        } catch (error) {
          assert.ok(error instanceof AppError && error.kind === "invalid");
        }
      }),
    );
  });
});

describe("times", () => {
  test("all ISO forms, canonical to the microsecond", () => {
    const cases: [string, string][] = [
      ["2026-11-24T10:00:00Z", "2026-11-24T10:00:00.000000Z"],
      ["2026-11-24T10:00:00.123456789Z", "2026-11-24T10:00:00.123456Z"],
      ["2026-11-24T10:00:00.000001+00:00", "2026-11-24T10:00:00.000001Z"],
      ["2026-11-24 10:00:00.1+00", "2026-11-24T10:00:00.100000Z"],
      ["2026-11-24T10:00-0530", "2026-11-24T15:30:00.000000Z"],
      ["2026-11-24", "2026-11-24T00:00:00.000000Z"],
      ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"],
    ];
    for (const [from, to] of cases) assert.equal(parseListValue("timestamp", from, "t"), to, from);
  });

  test("impossible ones are refused", () => {
    for (const value of [
      "",
      "2026",
      "2026-02-30T00:00:00Z",
      "2026-13-01",
      "2026-01-01T25:00:00Z",
      "0000-01-01T00:00:00Z",
      "9999-12-31T23:59:59-14:00",
      "2026-01-01T00:00:00+99:00",
      "now",
      "infinity",
    ]) {
      refused(() => parseListValue("timestamp", value, "t"), /not a time/);
    }
  });
});
