/** What a running task calls for its children. */
export { type ActionsServiceOptions, actionsService } from "./service.ts";
