/** The one writer of action state, and those who are told. */
export { type Aborts, aborts, actionKey } from "./aborts.ts";
export { type ChangeBus, changeBus } from "./bus.ts";
export { type StateServiceOptions, stateService } from "./service.ts";
export { type Signals, signals } from "./signals.ts";
export { type StateWriter, stateWriter } from "./state-writer.ts";
export { type UpdateStreams, updateStreams } from "./update-stream.ts";
