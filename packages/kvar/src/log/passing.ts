/** The signal as an optional member: absent instead of undefined. */
export function passing(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}
