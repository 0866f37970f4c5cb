// Goal: the numbers under `npm test` are true: a run that went wrong in any way never says "0 failed".
// Method: the functions that read the runner's report are given reports of good and bad runs.
import { describe, expect, it } from 'vitest'
import { hashOf, isNodeNewEnough } from '../../scripts/project.mjs'
import { lastLine, leftOut, readReport } from '../../scripts/test-report.mjs'
import { ROOT } from './repository.ts'

function report(status: string, tests: Record<string, string>): () => string {
  const assertionResults = Object.entries(tests).map(([fullName, status]) => ({ fullName, status }))
  return () => JSON.stringify({ testResults: [{ name: `${ROOT}a.test.ts`, status, assertionResults }] })
}

describe('the last line', () => {
  it('counts passed, failed and skipped tests', () => {
    const read = readReport(
      report('failed', { a: 'passed', b: 'failed', c: 'skipped', d: 'pending', e: 'passed' }),
      false,
    )
    expect(lastLine(read)).toBe('2 passed, 1 failed, 2 skipped')
  })

  it('leaves skipped out when there are none', () => {
    expect(lastLine(readReport(report('passed', { a: 'passed' }), true))).toBe('1 passed, 0 failed')
  })

  it('counts a file that could not be loaded', () => {
    expect(lastLine(readReport(report('failed', {}), false))).toBe('0 passed, 1 failed')
  })

  it('counts a runner that ended badly although every test passed', () => {
    expect(lastLine(readReport(report('passed', { a: 'passed' }), false))).toBe('1 passed, 1 failed')
  })

  it('counts a runner that died before it wrote a report', () => {
    const read = readReport(() => {
      throw new Error('no such file')
    }, false)
    expect(lastLine(read)).toBe('0 passed, 1 failed')
  })
})

it('says which tests were left out and where they stand', () => {
  const read = readReport(report('passed', { 'restores (left out: no chromium)': 'skipped' }), true)
  expect(leftOut(read).join('\n')).toContain('a.test.ts: restores (left out: no chromium)')
})

it.each([
  ['v22.23.0', true],
  ['v24.0.0', true],
  ['v22.22.9', false],
  ['v20.20.2', false],
])('knows whether Node %s is new enough', (version, isEnough) => {
  expect(isNodeNewEnough(version)).toBe(isEnough)
})

describe('the hash over sources', () => {
  it('differs when a file is left out and stays the same otherwise', () => {
    const whole = hashOf(['scripts'])
    expect(hashOf(['scripts'])).toBe(whole)
    expect(hashOf(['scripts'], (path) => !path.endsWith('build.mjs'))).not.toBe(whole)
  })

  it('counts a missing path as empty', () => {
    expect(hashOf(['no-such-folder'])).toBe(hashOf([]))
  })
})
