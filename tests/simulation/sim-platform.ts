import type { Clock } from '../../packages/kvar/src/platform/clock.ts'
import type { Platform } from '../../packages/kvar/src/platform/platform.ts'
import type { Dice } from './dice.ts'
import { ModelConnection } from './model-sqlite.ts'
import type { SimDisk } from './sim-disk.ts'
import { SimFiles } from './sim-files.ts'
import type { Life } from './timeline.ts'

const TURN_MS = 0.2

/** What a machine's oddities are. */
export interface Habits {
  /** The file system tells changes. */
  watchable: boolean
  /** The kernel shows who holds which lock. */
  locksVisible: boolean
}

/** The whole world outside as one life of a process on one disk sees it. */
export function simPlatform(disk: SimDisk, life: Life, dice: Dice, habits: Habits): Platform {
  const files = new SimFiles(disk, life, dice.fork('files'), habits.watchable)
  return {
    files,
    clock: simClock(disk, life, files, dice.fork('clock')),
    random: dice.fork('random'),
    fileLocks: {
      writerState: (inode) => {
        if (!habits.locksVisible) return undefined
        return disk.inode(inode)?.writer ?? 'none'
      },
    },
    openSqlite: (path, options) => new ModelConnection(disk, path, options),
  }
}

function simClock(disk: SimDisk, life: Life, files: SimFiles, dice: Dice): Clock {
  const { timeline } = disk
  return {
    nowMs: () => Math.floor(disk.wallMs),
    monotonicMs: () => timeline.nowMs,
    startTimer: (delayMs, fire) => timeline.at(delayMs, life, `${life.name} timer`, fire),
    turn: () =>
      new Promise((resolve) => {
        // Events that were under way at the call come first.
        const eventsMs = files.eventsDueMs - timeline.nowMs
        const delayMs = Math.max(dice.delayMs(TURN_MS, TURN_MS * 20), eventsMs)
        timeline.at(delayMs, life, `${life.name} turn`, resolve)
      }),
  }
}
