/** Dates of this process to and from the wire's timestamps and durations. */
import { create } from "@bufbuild/protobuf";
import { type Duration, DurationSchema, type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";

export interface Clock {
  now(): Date;
}

export const systemClock: Clock = { now: () => new Date() };

export function toTimestamp(date: Date): Timestamp {
  const ms = date.getTime();
  const seconds = Math.floor(ms / 1000);
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 });
}

/** Milliseconds are kept, finer parts are cut off. */
export function toDate(timestamp: Timestamp): Date {
  return new Date(Number(timestamp.seconds) * 1000 + Math.floor(timestamp.nanos / 1_000_000));
}

/** Milliseconds; 0 for an absent duration. */
export function toMs(duration: Duration | undefined): number {
  return duration ? Number(duration.seconds) * 1000 + duration.nanos / 1_000_000 : 0;
}

/** To the microsecond. */
export function toDuration(ms: number): Duration {
  // Rounded as a whole: the part behind the seconds alone could round up to a second, which no duration may hold.
  const micros = Math.round(ms * 1000);
  const seconds = Math.trunc(micros / 1_000_000);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos: (micros - seconds * 1_000_000) * 1000 });
}
