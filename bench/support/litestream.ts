import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { stop } from './processes.ts'

/** The command of Litestream 0.3.13, the peer that most people run; undefined where npm has none for this machine. */
export function litestreamProgram(): string | undefined {
  const require = createRequire(import.meta.url)
  try {
    const found = require.resolve(`@flydotio/litestream-${process.platform}-${process.arch}/package.json`)
    const program = join(dirname(found), 'litestream')
    return existsSync(program) ? program : undefined
  } catch {
    return undefined
  }
}

export const LITESTREAM = 'litestream 0.3.13'

export interface Replication {
  child: ChildProcess
  /** Resolves when a line of its log matches. */
  said: (pattern: RegExp) => Promise<void>
  stop: () => Promise<void>
}

/** Replicates a database to a folder until it is stopped. */
export function replicate(program: string, databasePath: string, replicaPath: string): Replication {
  const child = spawn(program, ['replicate', databasePath, `file://${replicaPath}`], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  const waiting = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (part) => {
      text += part
      for (const look of waiting) look()
    })
  }
  const said = (pattern: RegExp) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if (!pattern.test(text)) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      void once(child, 'exit').then(() => reject(new Error(`litestream ended: ${text}`)), reject)
      look()
    })
  return { child, said, stop: () => stop(child) }
}
