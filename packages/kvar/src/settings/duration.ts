const UNIT_MS = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  y: 365 * 86_400_000,
} as const

const DURATION_PATTERN = /^(\d{1,9})(ms|s|m|h|d|w|y)$/

/** What to write, for hints. */
export const DURATION_HINT =
  'write a whole number and a unit: ms, s, m, h, d, w or y, such as 250ms, 30s, 7d, 1y'

/**
 * A duration as people write it, in milliseconds. A year has 365 days; `forever` is Infinity.
 *
 * @returns undefined when the text is no duration: the caller knows where it stood and says so
 * @example
 * parseDuration('250ms') // 250
 * parseDuration('7d') // 604800000
 * parseDuration('forever') // Infinity
 */
export function parseDuration(text: string): number | undefined {
  if (text === 'forever') return Number.POSITIVE_INFINITY
  const match = DURATION_PATTERN.exec(text.trim())
  if (match === null) return undefined
  return Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS]
}
