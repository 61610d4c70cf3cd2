/** What every plugin shares that runs a task's own code: command line, variables, results. */
export { dataConfig } from "./data-config.ts";
export { declaresOutputs, type EndParts, type ExitParts, endByResults, exitError, withLog } from "./end.ts";
export { type EnvironmentParts, environment, identity } from "./environment.ts";
export { type Results, readResults } from "./results.ts";
export { templateValues } from "./template-values.ts";
export { fillTemplate, literalText, type TemplateValues, usesInputs, usesPlaceholder } from "./templates.ts";
