export type { ControlLink } from "./control-link.ts";
