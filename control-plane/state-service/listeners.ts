/** Those who listen, by what they listen to. One that throws is reported and keeps nobody else from hearing. */
export interface Listeners<Key, Message> {
  add(key: Key, listener: (message: Message) => void): () => void;
  tell(key: Key, message: Message): void;
  has(key: Key): boolean;
  keys(): Key[];
}

export function listeners<Key, Message>(onError: (error: unknown) => void): Listeners<Key, Message> {
  const byKey = new Map<Key, Set<(message: Message) => void>>();
  return {
    add(key, listener) {
      const those = byKey.get(key) ?? new Set();
      byKey.set(key, those.add(listener));
      return () => {
        those.delete(listener);
        if (those.size === 0 && byKey.get(key) === those) byKey.delete(key);
      };
    },
    tell(key, message) {
      for (const listener of byKey.get(key) ?? []) {
        try {
          listener(message);
        } catch (error) {
          onError(error);
        }
      }
    },
    has: (key) => byKey.has(key),
    keys: () => [...byKey.keys()],
  };
}
