import * as fs from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'

const GONE_MS = 10_000

/** The keepers of one database: processes with exactly its path, which no other test shares, as an argument. */
export function keepersOf(databasePath: string): number[] {
  const ids = fs.readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []))
  return ids.filter((id) => {
    const words = argumentsOf(id)
    return words[2] === databasePath && /\/keeper\/main\.[jt]s$/.test(words[1] ?? '')
  })
}

function argumentsOf(processId: number): string[] {
  try {
    return fs.readFileSync(`/proc/${processId}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}

/** The children of a process, as the kernel knows them. */
export function childrenOf(processId: number): number[] {
  try {
    const text = fs.readFileSync(`/proc/${processId}/task/${processId}/children`, 'utf8')
    return text.split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}

export function kill(processId: number): void {
  try {
    process.kill(processId, 'SIGKILL')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ESRCH') throw thrown
  }
}

/** Kills every keeper of a database, also one that an app was just about to start when it was killed. */
export async function killKeepers(databasePath: string): Promise<void> {
  await until(() => {
    const left = keepersOf(databasePath)
    for (const id of left) kill(id)
    return left.length === 0
  }, 'the keepers do not die')
}

export async function until(isTrue: () => boolean, otherwise: string, limitMs = GONE_MS): Promise<void> {
  const end = Date.now() + limitMs
  while (!isTrue()) {
    if (Date.now() > end) throw new Error(otherwise)
    await pause(5)
  }
}
