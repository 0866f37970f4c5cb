import * as fs from 'node:fs'

/**
 * Looks at POSIX locks without taking any. Linux lists every lock in /proc/locks:
 * `7: POSIX  ADVISORY  WRITE 1234 fe:00:13107 1073741826 1073742335`.
 *
 * SQLite's lock bytes (fileformat2.html, os_unix.c): PENDING at 0x40000000, RESERVED one after it,
 * SHARED the 510 bytes behind. A write lock that touches PENDING or SHARED means that somebody may
 * be changing pages of the file at this moment; RESERVED alone means changes in memory only.
 */
const PENDING_BYTE = 0x40000000
const RESERVED_BYTE = PENDING_BYTE + 1
const SHARED_LAST = PENDING_BYTE + 2 + 509

/**
 * What the writers of a file are doing: `writing`: pages may be changing at this moment ·
 * `preparing`: a transaction changes pages in memory, the file is untouched · `none`.
 */
export type WriterState = 'none' | 'preparing' | 'writing'

export interface FileLocks {
  /** Undefined where locks cannot be seen. */
  writerState(inode: bigint): WriterState | undefined
}

interface LockLine {
  write: boolean
  inode: bigint
  first: number
  last: number
}

function parseLine(line: string): LockLine | undefined {
  const match = /\s(READ|WRITE)\s+-?\d+\s+[0-9a-f]+:[0-9a-f]+:(\d+)\s+(\d+)\s+(\d+|EOF)/.exec(line)
  if (match === null) return undefined
  const [, kind, inode, first, last] = match
  return {
    write: kind === 'WRITE',
    inode: BigInt(inode as string),
    first: Number(first),
    last: last === 'EOF' ? Number.POSITIVE_INFINITY : Number(last),
  }
}

function readLocks(): LockLine[] | undefined {
  try {
    const text = fs.readFileSync('/proc/locks', 'latin1')
    return text.split('\n').flatMap((line) => parseLine(line) ?? [])
  } catch {
    return undefined
  }
}

export const systemFileLocks: FileLocks = {
  writerState(inode) {
    const locks = readLocks()?.filter(
      (lock) => lock.write && lock.inode === inode && lock.first <= SHARED_LAST && lock.last >= PENDING_BYTE,
    )
    if (locks === undefined) return undefined
    if (locks.length === 0) return 'none'
    const reservedOnly = locks.every((lock) => lock.first === RESERVED_BYTE && lock.last === RESERVED_BYTE)
    return reservedOnly ? 'preparing' : 'writing'
  },
}
