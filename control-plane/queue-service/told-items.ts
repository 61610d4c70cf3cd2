/**
 * What one connection was told of its cluster's rows. A row may have been leased by an earlier connection that was dead
 * already, so what is held is compared with this now and then.
 */
import type { LeasedItem } from "./lease-store.ts";
import { ItemState } from "./store.ts";

export interface ToldItems {
  readonly size: number;
  /** Gives those that were news. */
  add(items: readonly LeasedItem[]): LeasedItem[];
  /** Takes all that is held: gives what was not told, and forgets what is gone. */
  compare(held: readonly LeasedItem[]): { leased: LeasedItem[]; ending: LeasedItem[] };
}

export function toldItems(): ToldItems {
  const keyOf = ({ state, runId, name, epoch }: LeasedItem) => `${state}/${runId}/${name}/${epoch}`;
  let told = new Set<string>();
  function add(items: readonly LeasedItem[]): LeasedItem[] {
    const news = items.filter((item) => !told.has(keyOf(item)));
    for (const item of news) told.add(keyOf(item));
    return news;
  }
  return {
    get size() {
      return told.size;
    },
    add,
    compare(held) {
      const news = add(held);
      told = new Set(held.map(keyOf));
      return {
        leased: news.filter(({ state }) => state === ItemState.leased),
        ending: news.filter(({ state }) => state === ItemState.ending),
      };
    },
  };
}
