/** The task cannot be given to a connector, and another try changes nothing: the user's to repair. */
export class BadTaskError extends Error {
  override readonly name = "BadTaskError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
