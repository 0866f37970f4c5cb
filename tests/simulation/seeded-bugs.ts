import { Capture } from '../../packages/kvar/src/capture/capture.ts'
import { PendingPages } from '../../packages/kvar/src/capture/pending-pages.ts'
import { toKvarError } from '../../packages/kvar/src/errors.ts'
import { CaptureLoop } from '../../packages/kvar/src/keeper/capture-loop.ts'
import { Copier } from '../../packages/kvar/src/keeper/copier.ts'
import { FollowerTask } from '../../packages/kvar/src/keeper/follower-task.ts'
import { Protector } from '../../packages/kvar/src/keeper/protector.ts'
import { RecentVersions } from '../../packages/kvar/src/keeper/recent-versions.ts'
import { ImageWriter } from '../../packages/kvar/src/log/image-writer.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import { SimDisk } from './sim-disk.ts'
import { Timeline } from './timeline.ts'

/** A mistake that a programmer could make, put into the running program; `undo` takes it out again. */
export interface SeededBug {
  name: string
  make(): () => void
}

/** Replaces one method, given the former one. */
function patched<T extends object, K extends keyof T>(
  prototype: T,
  name: K,
  change: (former: T[K]) => T[K],
): () => void {
  const former = prototype[name]
  prototype[name] = change(former)
  return () => {
    prototype[name] = former
  }
}

/** Each of them has to be caught by a rule, within few seeds. */
export const SEEDED_BUGS: SeededBug[] = [
  {
    name: 'a flush answers before anything is stored',
    make: () =>
      patched(
        Protector.prototype,
        'flush',
        () =>
          async function (this: Protector) {
            return { version: this.memory.version, targets: [] }
          },
      ),
  },
  {
    name: 'a flush does not look at the database first',
    make: () =>
      patched(
        CaptureLoop.prototype,
        'lookNow',
        () =>
          async function (this: CaptureLoop) {
            return { sequence: this.capture.sequence, present: true }
          },
      ),
  },
  {
    name: 'a number that another keeper took counts as one’s own',
    make: () =>
      patched(
        VersionLog.prototype,
        'append',
        (former) =>
          async function (this: VersionLog, ...given) {
            await former.apply(this, given)
            return 'created'
          },
      ),
  },
  {
    name: 'an append without an answer counts as stored',
    make: () =>
      patched(
        VersionLog.prototype,
        'append',
        (former) =>
          async function (this: VersionLog, ...given) {
            try {
              return await former.apply(this, given)
            } catch (thrown) {
              if (toKvarError(thrown).code !== 'TARGET_TEMPORARY') throw thrown
              return 'created'
            }
          },
      ),
  },
  {
    name: 'an older version is taken for the newest',
    make: () =>
      patched(
        VersionLog.prototype,
        'findHead',
        (former) =>
          async function (this: VersionLog, options) {
            const head = await former.call(this, options)
            const before = head === undefined ? undefined : await this.readVersionInfo(head.version - 1)
            return before ?? head
          },
      ),
  },
  {
    name: 'a branch is noted without its content',
    make: () =>
      patched(
        VersionLog.prototype,
        'append',
        (former) =>
          async function (this: VersionLog, ...given) {
            return this.prefix === '' ? former.apply(this, given) : 'created'
          },
      ),
  },
  {
    name: 'a version lacks its last page',
    make: () =>
      patched(
        PendingPages.prototype,
        'pageNumbers',
        (former) =>
          function (this: PendingPages) {
            const pages = former.call(this)
            return pages.length > 1 ? pages.slice(0, -1) : pages
          },
      ),
  },
  {
    name: 'capture overlooks a page now and then',
    make: () => {
      let calls = 0
      return patched(
        Capture.prototype,
        'page',
        (former) =>
          function (this: Capture, ...given) {
            if (++calls % 50 !== 0) former.apply(this, given)
          },
      )
    },
  },
  {
    name: 'followers hear of nothing',
    make: () => patched(FollowerTask.prototype, 'follow', () => () => undefined),
  },
  {
    name: 'a follower is given the version before',
    make: () =>
      patched(
        RecentVersions.prototype,
        'get',
        (former) =>
          function (this: RecentVersions, version) {
            return former.call(this, version - 1)
          },
      ),
  },
  {
    name: 'a restore leaves a page out',
    make: () =>
      patched(
        ImageWriter.prototype,
        'page',
        (former) =>
          function (this: ImageWriter, pageNumber, page) {
            if (pageNumber !== 2) former.call(this, pageNumber, page)
          },
      ),
  },
  {
    name: 'copies are renamed before they are on the disk',
    make: () => patched(SimDisk.prototype, 'sync', () => () => undefined),
  },
  {
    name: 'copies are never renewed',
    make: () => patched(Copier.prototype, 'request', () => () => undefined),
  },
  {
    name: 'the idle keeper looks ten times a second',
    make: () =>
      patched(
        Timeline.prototype,
        'at',
        (former) =>
          function (this: Timeline, delayMs, life, what, fire) {
            return former.call(this, delayMs === 1000 ? 100 : delayMs, life, what, fire)
          },
      ),
  },
]
