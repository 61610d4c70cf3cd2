/** Python tasks that call tasks, on the real server: fan-out, maps, groups, names, types, errors. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { actionsOf, childrenOf, ended, errorOf, logOf, outputsOf } from "./support/runs.ts";
import { setStage } from "./support/stage.ts";

const stage = await setStage({ after });
const types = { text: "Wörld ✨", number: -42, ratio: 3.25, flag: true, words: ["a", "ß"], ages: { ann: 1 } };
const [fanOut = "", map = "", names = "", types_ = "", failing = "", catches = ""] = await stage.python.submit(
  "basics",
  { task: "fan_out", inputs: { n: 6 } },
  { task: "sync_parent", inputs: { n: 3 } },
  { task: "names_and_context", inputs: { x: 7 } },
  { task: "types", inputs: types },
  { task: "failing", inputs: { message: "no luck ✨" } },
  { task: "catches", inputs: { message: "caught" }, context: { name: "catching-run" } },
);
const runs = { fanOut, map, names, types: types_, failing, catches };

test("children run once each, in their group, under their parent", async () => {
  assert.deepEqual(await outputsOf(stage.wire, runs.fanOut), [55]);
  const rows = await actionsOf(stage.wire, runs.fanOut);
  assert.equal(rows[0]?.name, "a0");
  const squares = rows.filter((row) => row.task === "basics.square");
  assert.equal(squares.length, 6);
  assert.ok(squares.every((row) => row.group === "squares" && row.parent === "a0"));
  assert.ok(rows.every((row) => row.phase === "SUCCEEDED" && row.attempts === 1));
  assert.equal(rows.filter((row) => row.task === "basics.nothing").length, 1);
});

test("a synchronous parent maps a task over a list", async () => {
  assert.deepEqual(await outputsOf(stage.wire, runs.map), [["item 0", "item 1", "item 2"]]);
  assert.equal((await childrenOf(stage.wire, runs.map)).length, 3);
});

test("short name, environment and custom context reach a child", async () => {
  assert.deepEqual(await outputsOf(stage.wire, runs.names), [["green", "parent", "49"]]);
  assert.ok((await childrenOf(stage.wire, runs.names)).some(({ shortName }) => shortName === "coloured"));
});

test("values of many types go there and back", async () => {
  const [text, ...others] = await outputsOf(stage.wire, runs.types);
  assert.equal(
    text,
    "Wörld ✨|-42|3.25|True|box ✨, 2024-02-29T23:59:59.123456+00:00, 3600.5, None, " +
      "2024-01-01T00:00:00+00:00, 0.0, 'word'",
  );
  assert.deepEqual(others, [["a", "ß"], { ann: 1 }, false]);
});

test("a user's exception is the run's error, after one attempt", async () => {
  assert.equal(await ended(stage.wire, runs.failing), "FAILED");
  const error = await errorOf(stage.wire, runs.failing);
  assert.equal(error?.code, "ValueError");
  assert.equal(error?.kind, "USER");
  assert.match(error?.message ?? "", /no luck ✨/);
  const [root] = await actionsOf(stage.wire, runs.failing);
  assert.equal(root?.attempts, 1);
});

test("a parent catches its child's exception; the run has the name it was given", async () => {
  assert.equal(runs.catches, "catching-run");
  const [text] = await outputsOf(stage.wire, runs.catches);
  assert.match(String(text), /^ValueError: .*caught/s);
  assert.deepEqual(
    (await childrenOf(stage.wire, runs.catches)).map(({ phase }) => phase),
    ["FAILED"],
  );
  assert.ok((await logOf(stage.wire, runs.catches)).some((line) => line.includes("caught ValueError")));
  await assert.rejects(
    stage.python.submit("basics", { task: "square", inputs: { n: 1 }, context: { name: "catching-run" } }),
    /RunAlreadyExistsError|already exists/,
  );
});

test("the command line of the SDK runs, follows and shows a run", async () => {
  const run = await stage.python.flyte("run", "--name", "by-cli", "--follow", "basics.py", "square", "--n", "9");
  assert.equal(run.code, 0, run.stderr);
  assert.deepEqual(await outputsOf(stage.wire, "by-cli"), [81]);
  const io = await stage.python.flyte("get", "io", "by-cli");
  assert.match(io.stdout, /81/, io.stderr);
});
