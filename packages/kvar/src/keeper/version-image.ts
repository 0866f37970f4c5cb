import type { Platform } from '../platform/platform.ts'
import type { CaptureLoop } from './capture-loop.ts'
import type { VersionImage } from './copier.ts'
import type { CutSchedule } from './cut-schedule.ts'
import { writeImage } from './image-writer.ts'

/**
 * An image of a version: or rather, a version is made of the image, cut in the very moment in which it
 * is complete. Where the ledger is so far behind that nothing may be cut, the image shows a state that
 * has no version yet, and says 0.
 */
export function imageOfVersion(options: {
  loop: CaptureLoop
  schedule: CutSchedule
  path: string
  platform: Platform
  newest: () => { version: number; timestampMs: number }
  hasRoom: () => boolean
}): Promise<VersionImage> {
  const { loop, schedule, path, platform, newest, hasRoom } = options
  return writeImage({
    loop,
    path,
    platform,
    settle: async (image) => {
      const { sequence } = loop.capture
      if (sequence > schedule.sequence && !(hasRoom() && (await schedule.cutNow()))) {
        return { ...image, version: 0, timeMs: platform.clock.nowMs(), sequence }
      }
      const { version, timestampMs } = newest()
      return { ...image, version, timeMs: timestampMs, sequence }
    },
  })
}
