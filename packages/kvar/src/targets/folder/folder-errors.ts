import { KvarError } from '../../errors.ts'
import { systemErrorCode } from '../../platform/files.ts'
import { TargetError, type TargetFailure } from '../target.ts'

interface Explanation {
  failure: TargetFailure
  /** Completes "Cannot store … in folder:/x: …". */
  reason: string
  hint: string
}

const LATER = 'nothing is lost; it is tried again'
const RIGHTS = 'give this user the right to read and write the folder'
const ROOM = 'make room on the disk or raise the quota; versions wait here meanwhile'

const EXPLANATIONS: Record<string, Explanation> = {
  ENOSPC: { failure: 'full', reason: 'the disk is full', hint: ROOM },
  EDQUOT: { failure: 'full', reason: 'the quota is used up', hint: ROOM },
  EACCES: { failure: 'denied', reason: 'this user may not', hint: RIGHTS },
  EPERM: { failure: 'denied', reason: 'the operation is not permitted', hint: RIGHTS },
  EROFS: { failure: 'denied', reason: 'the disk is mounted read-only', hint: 'mount it for writing' },
  ENOTDIR: {
    failure: 'permanent',
    reason: 'a file stands where a folder belongs',
    hint: 'move the file away',
  },
  EISDIR: {
    failure: 'permanent',
    reason: 'a folder stands where an object belongs',
    hint: 'move the folder away',
  },
  EEXIST: {
    failure: 'permanent',
    reason: 'a file stands where a folder belongs',
    hint: 'move the file away',
  },
  ENAMETOOLONG: { failure: 'permanent', reason: 'the path is too long', hint: 'choose a shorter path' },
  EFBIG: {
    failure: 'permanent',
    reason: 'the file system takes no file this large',
    hint: 'use another file system',
  },
  EXDEV: {
    failure: 'permanent',
    reason: 'a folder inside the target is another file system',
    hint: 'keep the whole target on one file system',
  },
  ELOOP: { failure: 'permanent', reason: 'symbolic links lead in a circle', hint: 'mend the links' },
}

/**
 * Classifies what the file system threw, once, at the border. Codes that nobody thought of are
 * `temporary`: trying again harms nothing, and the status shows the reason meanwhile. Errors
 * without a system code are not the file system's and go through unchanged.
 *
 * @param doing what was tried, such as `store "ltx/0/…"`
 */
export function classifyFileError(thrown: unknown, doing: string, url: string): unknown {
  const code = systemErrorCode(thrown)
  if (thrown instanceof KvarError || code === undefined) return thrown
  const known = EXPLANATIONS[code] ?? { failure: 'temporary', reason: `the system says ${code}`, hint: LATER }
  return new TargetError(known.failure, `Cannot ${doing} in ${url}: ${known.reason}`, {
    hint: known.hint,
    cause: thrown,
    data: { url, systemCode: code },
  })
}

/** A root that was there and is gone must never look like an empty log: that would start a new one. */
export function rootVanished(url: string): TargetError {
  return new TargetError('temporary', `The folder of ${url} is gone, although it was there before`, {
    hint: 'is its disk mounted? Its versions are not lost; it is tried again',
    data: { url },
  })
}
