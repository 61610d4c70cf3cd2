import { actionStoreSuite } from "./action-store-suite.ts";
import { memoryActionStore } from "./memory-action-store.ts";

actionStoreSuite("memory", async () => memoryActionStore());
