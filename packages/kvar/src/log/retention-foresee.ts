import type { KeepSettings } from '../settings/keeper-settings.ts'
import { planMaking } from './compact-plan.ts'
import type { LogFile } from './log-layout.ts'
import {
  type CompactionStep,
  planRetention,
  type Removal,
  type RetentionLimits,
  type RetentionMarks,
} from './retain-plan.ts'

/** What tidying a log would come to. */
export interface Foresight {
  head: number
  /** The versions that stay restorable, ascending. */
  promised: number[]
  /** Ranges and snapshots that would be made and stay. */
  make: CompactionStep[]
  remove: Removal[]
  /** What the log holds now and would keep. */
  keep: LogFile[]
}

/** Each step makes something that was not there; more than this many would be a mistake of ours. */
const STEPS_LIMIT = 100_000

/**
 * Plays making and removing through on a list, without a target.
 *
 * @throws KvarError `LOG_BROKEN` as `planRetention`
 */
export function foreseeRetention(
  files: LogFile[],
  keep: KeepSettings,
  marks: RetentionMarks,
  options: { imagesComing: boolean; limits: RetentionLimits | undefined },
): Foresight {
  const known = [...files]
  const made = new Map<LogFile, CompactionStep>()
  const { barriers = new Set<number>() } = marks
  for (let steps = 0; steps < STEPS_LIMIT; steps++) {
    const plan = planRetention(known, keep, marks, options.limits)
    const urgent = planMaking(known, { barriers, imagesComing: options.imagesComing })
    const next = urgent === undefined ? plan.compact : [urgent]
    if (next.length === 0) {
      const kept = new Set(plan.keep)
      return {
        ...{ head: plan.head, promised: plan.promised },
        make: [...made].flatMap(([file, step]) => (kept.has(file) ? [step] : [])),
        remove: plan.remove.filter(({ file }) => !made.has(file)),
        keep: files.filter((file) => kept.has(file)),
      }
    }
    for (const step of next) {
      const file = fileOf(step)
      made.set(file, step)
      known.push(file)
    }
  }
  return { head: 0, promised: [], make: [], remove: [], keep: files }
}

function fileOf({ level, minVersion, maxVersion, inputs }: CompactionStep): LogFile {
  const modifiedAtMs = inputs.at(-1)?.modifiedAtMs ?? 0
  const sizeBytes = inputs.reduce((sum, file) => sum + file.sizeBytes, 0)
  const key = `${level}/${minVersion}-${maxVersion}`
  return { key, level, minVersion, maxVersion, sizeBytes, modifiedAtMs }
}
