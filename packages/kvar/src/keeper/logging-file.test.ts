// Goal: the log never grows beyond its limit, loses no line that fits, and a disk that refuses ends nothing.
// Method: real files with a small limit; random lines; a folder in the way of the rename.
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemPlatform } from '../platform/system.ts'
import { LogFile, OLD_LOG_FILES } from './logging-file.ts'

const LIMIT_BYTES = 400

let folder: string
let path: string
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-log-'))
  path = join(folder, 'keeper.log')
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

function linesOf(name: string): string[] {
  const file = join(folder, name)
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split('\n').slice(0, -1) : []
}

/** All files, the oldest first. */
function allLines(): string[] {
  return ['keeper.log.2', 'keeper.log.1', 'keeper.log'].flatMap(linesOf)
}

describe('the log file', () => {
  it('keeps the newest lines whole and in order, in few files of a limited size', async () => {
    const line = fc.string({ unit: fc.constantFrom('a', 'å', '"', ' '), maxLength: 90 })
    await fc.assert(
      fc.asyncProperty(fc.array(line, { minLength: 1, maxLength: 60 }), async (texts) => {
        fs.rmSync(folder, { recursive: true, force: true })
        fs.mkdirSync(folder)
        const log = new LogFile(path, systemPlatform, LIMIT_BYTES)
        const written = texts.map((text, index) => `${index} ${text}`)
        for (const one of written) log.write(`${one}\n`)
        await log.close()
        const names = fs.readdirSync(folder)
        expect(names.length).toBeLessThanOrEqual(1 + OLD_LOG_FILES)
        for (const name of names)
          expect(fs.statSync(join(folder, name)).size).toBeLessThanOrEqual(LIMIT_BYTES)
        const kept = allLines()
        expect(kept).toEqual(written.slice(-kept.length))
        // No more was dropped than had to make room.
        if (names.length < 1 + OLD_LOG_FILES) expect(kept).toEqual(written)
      }),
      { numRuns: 60 },
    )
  })

  it('goes on where an earlier keeper stopped', async () => {
    for (const text of ['first', 'second']) {
      const log = new LogFile(path, systemPlatform, LIMIT_BYTES)
      log.write(`${text}\n`)
      await log.close()
    }
    expect(linesOf('keeper.log')).toEqual(['first', 'second'])
  })

  it('does not grow for ever when it cannot be renamed', async () => {
    fs.mkdirSync(join(folder, 'keeper.log.1', 'something'), { recursive: true })
    fs.mkdirSync(join(folder, 'keeper.log.2', 'something'), { recursive: true })
    const log = new LogFile(path, systemPlatform, LIMIT_BYTES)
    for (let round = 0; round < 50; round++) {
      log.write(`${'x'.repeat(100)} ${round}\n`)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await log.close()
    expect(fs.statSync(path).size).toBeLessThanOrEqual(LIMIT_BYTES)
  })

  it('costs lines, not the keeper, when the disk refuses, and says how many', async () => {
    const refused = join(folder, 'not-there')
    const log = new LogFile(join(refused, 'keeper.log'), systemPlatform, LIMIT_BYTES)
    log.write('lost\n')
    log.write('lost too\n')
    fs.mkdirSync(refused)
    log.write('kept\n')
    await log.close()
    const text = fs.readFileSync(join(refused, 'keeper.log'), 'utf8')
    expect(text).toBe('kept\n{"level":"warn","event":"log-lines-lost","lines":2}\n')
  })

  it('shortens a line that is too long', async () => {
    const log = new LogFile(path, systemPlatform)
    log.write(`${JSON.stringify({ text: 'y'.repeat(100_000) })}\n`)
    await log.close()
    const [line] = linesOf('keeper.log')
    expect(line?.length).toBeLessThan(17_000)
    expect(() => JSON.parse(line ?? '')).not.toThrow()
  })
})
