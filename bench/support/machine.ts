import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'

/** What a figure was measured on: without it the figure says nothing. */
export interface Machine {
  processor: string
  cores: number
  memoryGiB: number
  kernel: string
  disk: string
  node: string
  sqlite: string
  /** Runnable processes in the last minute, before the row began: above 0.5 somebody else was at work. */
  loadBefore: number
}

export function describeMachine(folder: string): Machine {
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    disk: diskOf(folder),
    node: process.version,
    sqlite: process.versions.sqlite ?? 'unknown',
    loadBefore: loadavg()[0] ?? Number.NaN,
  }
}

/** Device and file system of a folder, such as `/dev/vda ext4`. */
function diskOf(folder: string): string {
  const device = execFileSync('df', ['--output=source', folder], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .at(-1)
  const mounted = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((line) => line.startsWith(`${device} `))
  return `${device} ${mounted?.split(' ')[2] ?? ''}`.trim()
}
