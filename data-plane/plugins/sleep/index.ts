export { type SleepOptions, sleepPlugin } from "./plugin.ts";
