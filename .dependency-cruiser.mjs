// The arrows of ARCHITECTURE.md as rules. `npm run check` holds every import against them, type-only ones too;
// scripts/import-rules.test.mjs proves that each rule bites.

import swc from "@swc/core/Visitor.js";

// The walker that finds imports does not know `using` yet; it holds none itself, what it is given may.
const walker = (swc.Visitor ?? swc).prototype;
const { visitStatement } = walker;
walker.visitStatement = function (statement) {
  if (statement.type !== "UsingDeclaration") return visitStatement.call(this, statement);
  return { ...statement, decls: this.visitVariableDeclarators(statement.decls) };
};

const TESTS = "\\.test\\.(ts|mjs)$";
const TEST_HELP = "(^|/)testing\\.ts$|(^|/)testing/|-suite\\.ts$";
const OTHER_ROOMS = (...allowed) => ({
  path: "^(contract|core|platform|control-plane|data-plane|user-plane|flyted|bench|e2e|scripts)/",
  pathNot: `^(${allowed.join("|")})/`,
});

/** @param {string} name @param {string} comment @param {object} from @param {object} to */
const forbid = (name, comment, from, to) => ({ name, comment, severity: "error", from, to });

export default {
  forbidden: [
    forbid(
      "contract-imports-nothing",
      "The contract is generated; it knows no room.",
      { path: "^contract/" },
      OTHER_ROOMS("contract"),
    ),
    forbid(
      "core-imports-contract-only",
      "core is pure: it may know the contract, nothing else of ours.",
      { path: "^core/" },
      OTHER_ROOMS("core", "contract"),
    ),
    forbid(
      "core-does-no-io",
      "core decides, others act: no built-in module but node:crypto.",
      { path: "^core/", pathNot: TESTS },
      { dependencyTypes: ["core"], pathNot: "^(node:)?crypto$" },
    ),
    forbid(
      "platform-imports-core",
      "A port to the outside world knows core and the contract, no plane.",
      { path: "^platform/" },
      OTHER_ROOMS("platform", "core", "contract"),
    ),
    forbid(
      "platform-room-by-its-index",
      "Another room of platform is used through its index.ts (tests also through its testing.ts).",
      { path: "^platform/([^/]+)/", pathNot: TESTS },
      { path: "^platform/[^/]+/", pathNot: ["^platform/$1/", "^platform/[^/]+/index\\.ts$", "/node_modules/"] },
    ),
    forbid(
      "control-plane-imports",
      "The control plane knows contract, core and platform.",
      { path: "^control-plane/" },
      OTHER_ROOMS("control-plane", "platform", "core", "contract"),
    ),
    forbid(
      "control-plane-no-kubernetes",
      "Clusters dial out to the control plane; it never calls one.",
      { path: "^control-plane/" },
      { path: "^platform/kubernetes/" },
    ),
    forbid(
      "control-plane-room-by-its-index",
      "Another service is used through its index.ts, or through the files made to be composed: stores, caches, the bus.",
      { path: "^control-plane/([^/]+)/", pathNot: `${TESTS}|${TEST_HELP}` },
      {
        path: "^control-plane/[^/]+/",
        pathNot: [
          "^control-plane/$1/",
          "^control-plane/[^/]+/(index|store|specs|run-cache|bus|coalescer)\\.ts$",
          "^control-plane/schema/",
        ],
      },
    ),
    forbid(
      "data-plane-imports",
      "The data plane knows contract, core and platform; it meets the control plane on the wire.",
      { path: "^data-plane/" },
      OTHER_ROOMS("data-plane", "platform", "core", "contract"),
    ),
    forbid(
      "data-plane-no-postgres",
      "What runs beside the workload never touches the control plane's database.",
      { path: "^data-plane/" },
      { path: "^platform/postgres/|^node_modules/pg/" },
    ),
    forbid(
      "user-plane-imports",
      "The user plane talks over the wire; it knows no service and no executor.",
      { path: "^user-plane/" },
      { path: "^(control-plane|data-plane|bench|e2e|scripts)/" },
    ),
    forbid(
      "user-plane-no-postgres",
      "The user plane knows no database.",
      { path: "^user-plane/" },
      { path: "^platform/postgres/|^node_modules/pg/" },
    ),
    forbid(
      "flyted-is-the-top",
      "flyted composes all rooms, so no room may import it; a verb of the command line starts it.",
      { pathNot: "^flyted/|^user-plane/cli/verbs/" },
      { path: "^flyted/" },
    ),
    forbid(
      "workspace-by-its-name",
      "Another workspace is imported by its name, so that its exports decide what is public.",
      { path: "^(contract|core|platform|control-plane|data-plane|user-plane/[^/]+|flyted|bench|e2e)/" },
      {
        dependencyTypes: ["local"],
        dependencyTypesNot: ["aliased-workspace"],
        path: "^(contract|core|platform|control-plane|data-plane|user-plane|flyted|bench|e2e)/",
        pathNot: "^$1/",
      },
    ),
    forbid(
      "no-cycles",
      "Rooms and files stand above or below each other; a type may be named both ways.",
      {},
      { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    ),
    forbid("no-import-of-tests", "A test is nobody's library.", {}, { path: TESTS }),
    forbid(
      "no-test-help-in-code",
      "Servers and suites for tests are for tests.",
      { pathNot: `${TESTS}|${TEST_HELP}|^(bench|e2e|scripts)/|^control-plane/schema/check[.]ts$` },
      { path: TEST_HELP, pathNot: "^node_modules/" },
    ),
    forbid("must-resolve", "An import that leads nowhere is checked by no rule.", {}, { couldNotResolve: true }),
  ],
  options: {
    parser: "swc",
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(^|/)(\\.tools|\\.venv)/" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default"],
      extensions: [".ts", ".mjs", ".js", ".json"],
    },
  },
};
