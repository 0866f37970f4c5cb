import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildWhatIsStale } from './build.mjs'
import { fail, hashOf, ROOT, readOrEmpty, requireNode } from './project.mjs'
import { prepareSystemPackages } from './system-packages.mjs'

// Makes a fresh clone ready: packages, a Node that is new enough, the build and, for tests, the
// programs of the system. npm runs it before `start` and `test`. It takes less than half a second when nothing is to do.

const STAMP = 'node_modules/.kvar-setup'

installPackages()
const node = requireNode()
buildWhatIsStale(node)
if (process.argv.includes('--tests')) prepareSystemPackages()

function installPackages() {
  const wanted = `${process.platform}-${process.arch} ${hashOf(manifests())}`
  if (readOrEmpty(STAMP) === wanted) return
  console.log('Kvar: installing packages (about a minute the first time) …')
  const startedAt = Date.now()
  if (!runNpmInstall()) {
    fail(
      'The packages could not be installed',
      'npm says above what failed; check the network and run the same command again',
    )
  }
  writeFileSync(join(ROOT, STAMP), wanted)
  console.log(`Kvar: packages installed in ${seconds(startedAt)}.`)
}

function manifests() {
  const workspaces = JSON.parse(readOrEmpty('package.json')).workspaces
  return [
    'package-lock.json',
    'package.json',
    ...workspaces.map((/** @type {string} */ path) => `${path}/package.json`),
  ]
}

/**
 * `npm install`, not `npm ci`: a lock file written where some platform's packages were missing makes
 * `ci` fail. Development packages are asked for by name because hosts set NODE_ENV=production, and
 * no package may run a script of its own while it is installed: none of ours needs to.
 */
function runNpmInstall() {
  const args = ['install', '--include=dev', '--include=optional', '--ignore-scripts', '--no-save']
  // Below "error" npm complains about the engine of the old Node that only runs this script.
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error']
  const npm = process.env.npm_execpath
  const [program, first] =
    npm !== undefined && existsSync(npm) && /\.c?js$/.test(npm) ? [process.execPath, [npm]] : ['npm', []]
  return spawnSync(program, [...first, ...args, ...quiet], { cwd: ROOT, stdio: 'inherit' }).status === 0
}

/** @param {number} startedAt */
function seconds(startedAt) {
  return `${((Date.now() - startedAt) / 1000).toFixed(1)} s`
}
