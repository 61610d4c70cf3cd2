/**
 * Many deadlines, one timer. Keys wait in a binary heap by due time; a key waits for at most one moment, the last one set.
 * Uses the monotonic clock: a jump of the wall clock neither fires nor delays anything.
 */
export interface WakeQueue {
  /** Fires `key` in so many milliseconds, replacing what it waited for before. */
  at(key: string, inMs: number): void;
  /** Fires `key` in so many milliseconds at the latest: what it waits for already stays when that is earlier. */
  by(key: string, inMs: number): void;
  cancel(key: string): void;
  clear(): void;
  readonly size: number;
}

interface Entry {
  key: string;
  due: number;
}

/** setTimeout takes no more than 2^31-1 ms; look in between and sleep on. */
const LONGEST_MS = 2 ** 31 - 1;

export function wakeQueue(fire: (key: string) => void): WakeQueue {
  const heap: Entry[] = [];
  /** The valid entry of a key; others in the heap are leftovers and skipped. */
  const current = new Map<string, Entry>();
  let timer: NodeJS.Timeout | undefined;
  let timerDue = Number.POSITIVE_INFINITY;

  function arm(): void {
    // A leftover on top would keep a timer, and with it an idle process, alive for nothing.
    while (heap[0] && current.get(heap[0].key) !== heap[0]) pop(heap);
    const first = heap[0];
    if (!first) return;
    if (timer && timerDue <= first.due) return;
    if (timer) clearTimeout(timer);
    timerDue = first.due;
    timer = setTimeout(elapsed, Math.min(Math.max(0, Math.ceil(first.due - performance.now())), LONGEST_MS));
  }

  function elapsed(): void {
    timer = undefined;
    timerDue = Number.POSITIVE_INFINITY;
    const now = performance.now();
    for (let first = heap[0]; first && first.due <= now; first = heap[0]) {
      pop(heap);
      if (current.get(first.key) !== first) continue;
      current.delete(first.key);
      fire(first.key);
    }
    arm();
  }

  function at(key: string, inMs: number): void {
    const entry = { key, due: performance.now() + Math.max(0, inMs) };
    current.set(key, entry);
    push(heap, entry);
    // Leftovers of keys that were set again must not outgrow the keys that wait.
    if (heap.length > 64 && heap.length > 2 * current.size) rebuild(heap, current);
    arm();
  }

  return {
    at,
    by(key, inMs) {
      const waiting = current.get(key);
      if (!waiting || waiting.due > performance.now() + inMs) at(key, inMs);
    },
    cancel: (key) => void current.delete(key),
    clear() {
      heap.length = 0;
      current.clear();
      if (timer) clearTimeout(timer);
      timer = undefined;
      timerDue = Number.POSITIVE_INFINITY;
    },
    get size() {
      return current.size;
    },
  };
}

function rebuild(heap: Entry[], current: ReadonlyMap<string, Entry>): void {
  heap.length = 0;
  // A sorted array is a heap.
  for (const entry of [...current.values()].sort((a, b) => a.due - b.due)) heap.push(entry);
}

function push(heap: Entry[], entry: Entry): void {
  let index = heap.length;
  heap.push(entry);
  while (index > 0) {
    const parent = (index - 1) >> 1;
    const above = heap[parent] as Entry;
    if (above.due <= entry.due) break;
    heap[index] = above;
    index = parent;
  }
  heap[index] = entry;
}

function pop(heap: Entry[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let index = 0;
  for (;;) {
    let child = 2 * index + 1;
    if (child >= heap.length) break;
    const right = heap[child + 1];
    if (right && right.due < (heap[child] as Entry).due) child += 1;
    const smaller = heap[child] as Entry;
    if (last.due <= smaller.due) break;
    heap[index] = smaller;
    index = child;
  }
  heap[index] = last;
}
