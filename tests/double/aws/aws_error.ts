/** What AWS answers instead of doing what was asked. */
export class AwsError extends Error {
  override readonly name = "AwsError";

  /**
   * @param code What a client decides by: `InvalidRoute.NotFound`.
   * @param status Of the HTTP answer.
   */
  constructor(readonly code: string, message: string, readonly status = 400) {
    super(message);
  }
}

/** A parameter that has no sense. */
export function invalidValue(message: string): AwsError {
  return new AwsError("InvalidParameterValue", message);
}
