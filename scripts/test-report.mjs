import { relative } from 'node:path'
import { ROOT } from './project.mjs'

// From the test runner's JSON to the numbers and lines a person reads.

/**
 * @typedef {object} Report
 * @property {number} passed
 * @property {number} failed
 * @property {Array<{ file: string, name: string }>} skipped
 */

/**
 * Counts tests. A file that could not be loaded, and a runner that ended badly although every test
 * passed (an unhandled rejection), count as one failure each: a red run never says "0 failed".
 *
 * @param {() => string} readJson may throw when the runner died before it wrote anything
 * @param {boolean} endedWell
 * @returns {Report}
 */
export function readReport(readJson, endedWell) {
  /** @type {Report} */
  const report = { passed: 0, failed: 0, skipped: [] }
  for (const file of testFiles(readJson)) {
    const failedBefore = report.failed
    for (const test of file.assertionResults) countTest(report, relative(ROOT, file.name), test)
    if (file.status === 'failed' && report.failed === failedBefore) report.failed++
  }
  if (!endedWell && report.failed === 0) report.failed++
  return report
}

/**
 * @param {() => string} readJson
 * @returns {Array<{ name: string, status: string, assertionResults: Array<{ status: string, fullName: string }> }>}
 */
function testFiles(readJson) {
  try {
    return JSON.parse(readJson()).testResults
  } catch {
    return []
  }
}

/**
 * @param {Report} report
 * @param {string} file
 * @param {{ status: string, fullName: string }} test
 */
function countTest(report, file, test) {
  if (test.status === 'passed') report.passed++
  else if (test.status === 'failed') report.failed++
  else report.skipped.push({ file, name: test.fullName.trim() })
}

/**
 * One line a skipped test; its name says the reason.
 *
 * @param {Report} report
 */
export function leftOut({ skipped }) {
  if (skipped.length === 0) return []
  return ['Left out on this machine:', ...skipped.map(({ file, name }) => `  ${file}: ${name}`)]
}

/** @param {Report} report */
export function lastLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}`
}
