/** The action store of one machine: a map. It forgets on restart; the control plane sends all leases again. */
import { type ActionRecord, type ActionStore, StaleRecordError } from "./action-store.ts";

export function memoryActionStore(): ActionStore {
  const records = new Map<string, ActionRecord>();
  let version = 0;
  const put = (record: Omit<ActionRecord, "version">): ActionRecord => {
    version += 1;
    const stored = { ...record, version: String(version) };
    records.set(record.key, stored);
    return stored;
  };
  return {
    async create(record) {
      return records.get(record.key) ?? put(record);
    },
    async get(key) {
      return records.get(key);
    },
    async update(record) {
      if (records.get(record.key)?.version !== record.version) throw new StaleRecordError(record.key);
      return put(record);
    },
    async delete(key) {
      records.delete(key);
    },
    async list() {
      return [...records.values()];
    },
    async *changes(signal) {
      // Nobody else can reach this map.
      if (signal.aborted) return;
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    },
  };
}
