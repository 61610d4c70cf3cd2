/** What readers of a log get, and what they hear when there is none. */

export interface LogLine {
  /** With its newline; without it when the line is a piece or not complete. */
  message: string;
  timestamp: Date;
  /** Not the task's: a line of ours about the log. */
  system?: boolean;
}

export interface LogBatch {
  lines: LogLine[];
}

/** No byte of the log exists (yet). */
export class LogNotFoundError extends Error {
  override readonly name = "LogNotFoundError";
  constructor(attemptUri: string) {
    super(
      `there is no log of the attempt at ${attemptUri} (yet): it has not written a line, or it never ran here; try again`,
    );
  }
}
