import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

// What the scripts share: where the project lies, which Node runs its tools, what its sources hash
// to. Plain JavaScript for Node 18 and later, because it runs before the project's own Node is there.

/** The folder of the repository. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** Older ones have no node:sqlite, or one with SQLite's WAL-reset bug. */
export const OLDEST_NODE = { major: 22, minor: 23 }

/**
 * Ends the script with a sentence and a hint, as the command line of Kvar does.
 *
 * @param {string} sentence
 * @param {string} hint
 * @returns {never}
 */
export function fail(sentence, hint) {
  console.error(`error: ${sentence}\nhint: ${hint}`)
  process.exit(1)
}

/** @param {string} version such as `v24.21.0` */
export function isNodeNewEnough(version) {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number)
  return major > OLDEST_NODE.major || (major === OLDEST_NODE.major && minor >= OLDEST_NODE.minor)
}

/**
 * The Node that runs the project: the one npm brought, else the one that runs this script.
 *
 * @returns {string} an absolute path
 */
export function requireNode() {
  const own = join(ROOT, 'node_modules', '.bin', 'node')
  // It is run, not only looked up: on a system without glibc the file is there and cannot start.
  const answer = spawnSync(own, ['--version'], { encoding: 'utf8' })
  if (answer.status === 0 && isNodeNewEnough(answer.stdout.trim())) return own
  if (isNodeNewEnough(process.version)) return process.execPath
  return fail(
    `Kvar needs Node ${OLDEST_NODE.major}.${OLDEST_NODE.minor} or later; this is ${process.version}, and npm brought no Node for this machine (${process.platform} ${process.arch})`,
    'install a newer Node from your system or nodejs.org (on Linux with glibc, deleting node_modules brings one), then run the command again',
  )
}

/**
 * The JavaScript file behind a tool's command. Tools are never started through `node_modules/.bin`:
 * their first line would pick whatever `node` the shell finds first.
 *
 * @param {string} packageName
 * @param {string} [command] defaults to the package's name
 */
export function toolScript(packageName, command = packageName) {
  const folder = join(ROOT, 'node_modules', packageName)
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  return join(folder, typeof bin === 'string' ? bin : bin[command])
}

/**
 * Runs a JavaScript file with the project's Node and shows what it prints.
 *
 * @param {string} node
 * @param {string[]} args
 * @param {string} [folder] the working directory, relative to the repository
 * @returns {boolean} whether it ended well
 */
export function runNode(node, args, folder = '.') {
  return spawnSync(node, args, { cwd: join(ROOT, folder), stdio: 'inherit' }).status === 0
}

/**
 * One hash over the content of files and folders, independent of times: a checkout or a copied
 * folder that holds the same sources needs no new build.
 *
 * @param {string[]} paths relative to the repository; missing ones count as empty
 * @param {(path: string) => boolean} [wanted]
 */
export function hashOf(paths, wanted = () => true) {
  const hash = createHash('sha256')
  for (const path of paths.flatMap((path) => filesUnder(join(ROOT, path)))) {
    const name = relative(ROOT, path).split(sep).join('/')
    if (wanted(name)) hash.update(`${name}\0`).update(readFileSync(path)).update('\0')
  }
  return hash.digest('hex')
}

const SKIPPED_FOLDERS = new Set(['node_modules', 'dist', 'data', '.git', 'coverage'])

/**
 * @param {string} path
 * @returns {string[]} files in a stable order
 */
function filesUnder(path) {
  if (!existsSync(path)) return []
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path)
    .filter((name) => !SKIPPED_FOLDERS.has(name))
    .sort()
    .flatMap((name) => filesUnder(join(path, name)))
}

/** @param {string} path relative to the repository */
export function readOrEmpty(path) {
  const full = join(ROOT, path)
  return existsSync(full) ? readFileSync(full, 'utf8') : ''
}
