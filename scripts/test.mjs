import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runChecks } from './check.mjs'
import { ROOT, requireNode, runNode, toolScript } from './project.mjs'
import { aptLine, missingSystemPackages } from './system-packages.mjs'
import { lastLine, leftOut, readReport } from './test-report.mjs'

// `npm test`: the checks, then every test this machine allows, what was left out and why, and as
// the very last line the counts. Arguments after `--` choose test files, as vitest understands them.

const node = requireNode()
const failedChecks = runChecks(node)
const report = runTests(process.argv.slice(2))

for (const line of leftOut(report)) console.log(line)
const missing = missingSystemPackages()
if (missing.length > 0)
  console.log(`To run what needs ${missing.map((one) => one.program).join(', ')}, as root: ${aptLine()}`)
for (const name of failedChecks)
  console.log(`Not a test, but it has to be mended: the check "${name}" failed, see the top of this run.`)
if (report.passed + report.failed === 0) console.log('No test ran.')

const failed = report.failed + failedChecks.length
console.log(lastLine({ ...report, failed }))
process.exitCode = failed === 0 && report.passed > 0 ? 0 : 1

/** @param {string[]} filters */
function runTests(filters) {
  const folder = mkdtempSync(join(tmpdir(), 'kvar-test-'))
  try {
    const file = join(folder, 'report.json')
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`]
    // One Ceph for all test files that ask for it, instead of one each.
    const shared = [join(ROOT, 'tests/servers/shared-ceph.ts'), node]
    const endedWell = runNode(node, [...shared, toolScript('vitest'), 'run', ...reporters, ...filters])
    return readReport(() => readFileSync(file, 'utf8'), endedWell)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
