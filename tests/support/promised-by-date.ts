import { parseDuration } from '../../packages/kvar/src/settings/duration.ts'
import type { KeepSettings } from '../../packages/kvar/src/settings/keeper-settings.ts'

/**
 * What `keep` says in plain words, by the true times at which versions were made: all of them, then the
 * last of each hour, day and month. Worked out apart from the product, which never asks a clock.
 *
 * @param madeAtMs index: version - 1
 */
export function promisedByDate(madeAtMs: number[], nowMs: number, keep: KeepSettings): Set<number> {
  const promised = new Set([madeAtMs.length])
  const upTo = (length: number) => (ms: number) => new Date(ms).toISOString().slice(0, length)
  const rules: Array<[string, (ms: number, index: number) => string]> = [
    [keep.all, (_ms, index) => String(index)],
    [keep.hourly, upTo('2026-11-23T10'.length)],
    [keep.daily, upTo('2026-11-23'.length)],
    [keep.monthly, upTo('2026-11'.length)],
  ]
  for (const [span, bucket] of rules) {
    const lasts = new Map(madeAtMs.map((ms, index) => [bucket(ms, index), index + 1]))
    for (const version of lasts.values()) {
      if (nowMs - (madeAtMs[version - 1] as number) <= (parseDuration(span) as number)) promised.add(version)
    }
  }
  return promised
}
