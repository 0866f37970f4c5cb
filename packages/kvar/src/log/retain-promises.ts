import { parseDuration } from '../settings/duration.ts'
import type { KeepSettings } from '../settings/keeper-settings.ts'

/** A version that can be restored, and when it was cut. */
export interface KeptPoint {
  version: number
  timeMs: number
}

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
export const DAY_MS = 24 * HOUR_MS
/** The shortest month: so many of them never fall short of a span. */
const SHORTEST_MONTH_MS = 28 * DAY_MS
/** Spans beyond what a duration says: its beginning and end lie within a span, and a clock may jump once in between. */
const SLACK_SPANS = 3

/** One step of `keep`: the last version of each `bucket`, within the newest `count` `span`s that hold versions. */
interface Tier {
  name: keyof KeepSettings
  bucket: (point: KeptPoint) => number
  span: (timeMs: number) => number
  count: number
}

const hourOf = (timeMs: number) => Math.floor(timeMs / HOUR_MS)
export const dayOf = (timeMs: number) => Math.floor(timeMs / DAY_MS)
function monthOf(timeMs: number): number {
  const date = new Date(timeMs)
  return date.getUTCFullYear() * 12 + date.getUTCMonth()
}

/**
 * The versions that `keep` promises, each with the step that promises it.
 *
 * No clock is asked: seven days become the newest ten days *on which something was stored*. With a right
 * clock, and with one that jumped once, these contain the last seven days; after any number of jumps, or a
 * pause of years, a version still only goes when enough newer ones have come (docs/decisions/030). Days are UTC days, so
 * that two machines, and summer and winter, agree; hours lie within days and days within months, so
 * what one step keeps, the next one still finds.
 *
 * @param points in ascending order
 */
export function promisedVersions(points: KeptPoint[], keep: KeepSettings): Map<number, keyof KeepSettings> {
  const promised = new Map<number, keyof KeepSettings>()
  for (const tier of tiersOf(keep)) {
    for (const version of versionsOf(points, tier)) {
      if (!promised.has(version)) promised.set(version, tier.name)
    }
  }
  return promised
}

/** From the newest back: the first one met in a bucket is its last version. */
function versionsOf(points: KeptPoint[], { bucket, span, count }: Tier): number[] {
  const versions: number[] = []
  let [spans, lastSpan, lastBucket] = [0, Number.NaN, Number.NaN]
  for (let i = points.length - 1; i >= 0; i--) {
    const point = points[i] as KeptPoint
    if (span(point.timeMs) !== lastSpan) {
      lastSpan = span(point.timeMs)
      if (++spans > count) break
    }
    if (bucket(point) !== lastBucket) versions.push(point.version)
    lastBucket = bucket(point)
  }
  return versions
}

function tiersOf(keep: KeepSettings): Tier[] {
  return [
    { name: 'all', bucket: (point) => point.version, ...spanOf(keep.all) },
    { name: 'hourly', bucket: (point) => hourOf(point.timeMs), ...spanOf(keep.hourly) },
    { name: 'daily', bucket: (point) => dayOf(point.timeMs), ...spanOf(keep.daily) },
    {
      name: 'monthly',
      bucket: (point) => monthOf(point.timeMs),
      span: monthOf,
      count: Math.ceil(milliseconds(keep.monthly) / SHORTEST_MONTH_MS) + SLACK_SPANS,
    },
  ]
}

/** A span in whole days, or in the largest unit it is not shorter than. */
function spanOf(text: string): Pick<Tier, 'span' | 'count'> {
  const spanMs = milliseconds(text)
  const unitMs = [DAY_MS, HOUR_MS, MINUTE_MS].find((unit) => unit <= spanMs) ?? SECOND_MS
  return { span: (timeMs) => Math.floor(timeMs / unitMs), count: Math.ceil(spanMs / unitMs) + SLACK_SPANS }
}

/** What cannot be read keeps everything: settings were checked before, and deleting is no answer to a doubt. */
function milliseconds(text: string): number {
  return parseDuration(text) ?? Number.POSITIVE_INFINITY
}
