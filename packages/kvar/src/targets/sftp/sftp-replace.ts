import { posix } from 'node:path'
import { STATUS, statusOf } from './sftp-errors.ts'
import type { SftpHandle, SftpSession } from './sftp-session.ts'

/**
 * Replacing and reading the few mutable objects on servers without posix-rename@openssh.com, whose
 * rename refuses a taken name. The old object steps aside to a dot name, the new one takes its place, the
 * old one goes. A reader that finds nothing under the key looks aside, then once more under the key, so
 * that at every moment, also after a crash in the middle, it finds the old or the new bytes.
 */
export async function moveOver(session: SftpSession, temporary: string, path: string): Promise<void> {
  const aside = asideOf(path)
  const isThere = (await session.lstat(path)) !== undefined
  // What is aside while the key is free is the only old object there is: it stays until the new one is there.
  if (isThere) {
    await session.remove(aside)
    await session.rename(path, aside)
  }
  await session.rename(temporary, path)
  await session.remove(aside)
}

/** Opens an object that may be in the middle of a replacement; undefined when there is none. */
export async function openMutable(session: SftpSession, path: string): Promise<SftpHandle | undefined> {
  return (
    (await openObject(session, path)) ??
    (await openObject(session, asideOf(path))) ??
    (await openObject(session, path))
  )
}

export async function openObject(session: SftpSession, path: string): Promise<SftpHandle | undefined> {
  try {
    return await session.open(path, 'read')
  } catch (thrown) {
    if (statusOf(thrown) === STATUS.NO_SUCH_FILE) return undefined
    throw thrown
  }
}

/** Where an object waits for its successor: dot names are never listed. */
export function asideOf(path: string): string {
  return posix.join(posix.dirname(path), `.kvar-old-${posix.basename(path)}`)
}
