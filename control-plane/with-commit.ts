/**
 * Sends a statement at the end of a transaction without waiting for its answer, so that it travels together with the
 * commit. Nothing is lost by not looking: a failed statement turns the commit into a rollback, and that is an error.
 */
export function withCommit(statement: Promise<unknown>): void {
  statement.catch(() => {});
}
