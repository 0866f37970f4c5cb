// Goal: progress tells enough and not too much: one line on a terminal, ten lines a minute elsewhere.
// Method: an hour of work under a clock that the test turns.
import { expect, test } from 'vitest'
import type { Clock } from '../platform/clock.ts'
import { Output } from './output.ts'
import { Progress } from './progress.ts'

const HOUR_MS = 3_600_000

class Sink {
  text = ''
  readonly isTTY: boolean
  constructor(isTTY: boolean) {
    this.isTTY = isTTY
  }
  write(text: string): void {
    this.text += text
  }
}

/** Reports 100 bytes a second for an hour, ten times a second. */
function work(options: { json?: boolean; quiet?: boolean; isTTY?: boolean }) {
  let nowMs = 0
  const clock = { monotonicMs: () => nowMs } as Clock
  const [stdout, stderr] = [new Sink(false), new Sink(options.isTTY === true)]
  const { json = false, quiet = false } = options
  const progress = new Progress(
    new Output({ json, quiet, colour: false, stdout, stderr }),
    clock,
    'Restoring',
  )
  for (; nowMs <= HOUR_MS; nowMs += 100) progress.update({ bytesDone: nowMs / 10, bytesTotal: HOUR_MS / 10 })
  progress.end()
  return { stdout: stdout.text, stderr: stderr.text }
}

test('elsewhere than on a terminal there are ten lines a minute, with rate and time left', () => {
  const { stdout, stderr } = work({})
  const lines = stderr.trim().split('\n')
  expect(stdout).toBe('')
  expect(lines).toHaveLength(600)
  expect(lines[299]).toBe('Restoring: 180.0 KB of 360.0 KB, 100 bytes/s, 30 min left')
})

test('on a terminal one line is drawn anew and wiped at the end', () => {
  const { stderr } = work({ isTTY: true })
  expect(stderr).not.toContain('\n')
  expect(stderr.endsWith('\r\u001b[K')).toBe(true)
})

test('for programs it is a line a second with numbers', () => {
  const { stdout, stderr } = work({ json: true })
  const lines = stdout.trim().split('\n')
  expect(stderr).toBe('')
  expect(lines).toHaveLength(3600)
  expect(JSON.parse(lines[1799] as string)).toMatchObject({
    event: 'progress',
    bytesDone: 180_000,
    bytesTotal: 360_000,
    bytesPerSecond: 100,
    leftMs: 1_800_000,
  })
})

test('with --quiet there is none', () => {
  expect(work({ quiet: true })).toEqual({ stdout: '', stderr: '' })
})
