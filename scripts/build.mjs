import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { fail, hashOf, ROOT, readOrEmpty, requireNode, runNode, toolScript } from './project.mjs'

// Builds the library, the calendar's server and its page. `npm run build` builds all of it; the
// set-up builds only what differs from the sources that were built last.

const STAMP = 'node_modules/.kvar-build'
const COMMON = ['package-lock.json', 'tsconfig.base.json', 'scripts/build.mjs']
const PROJECTS = ['packages/kvar', 'apps/familjekalender']

/**
 * @typedef {object} Part
 * @property {string} name
 * @property {string[]} sources relative to the repository
 * @property {string[]} products files that stand for the whole result
 * @property {(node: string) => boolean} build
 */

/** @type {Part[]} In the order in which they are built: the page's build may read the library's types. */
const PARTS = [
  {
    name: 'library and server',
    sources: PROJECTS,
    products: ['packages/kvar/dist/index.js', 'apps/familjekalender/dist/server/main.js'],
    // Forced, because tsc trusts its notes of the last build even where the products are gone.
    build: (node) => runNode(node, [toolScript('typescript', 'tsc'), '-b', '--force', ...PROJECTS]),
  },
  {
    name: 'calendar page',
    sources: ['apps/familjekalender'],
    products: ['apps/familjekalender/dist/web/index.html'],
    build: (node) =>
      runNode(node, [toolScript('vite'), 'build', '--logLevel', 'warn'], 'apps/familjekalender'),
  },
]

/** @param {string} node the Node that runs the tools */
export function buildWhatIsStale(node) {
  const stamps = readStamps()
  for (const part of PARTS) {
    const hash = hashOf([...COMMON, ...part.sources], isBuilt)
    const isFresh = stamps[part.name] === hash && part.products.every((path) => existsSync(join(ROOT, path)))
    if (isFresh) continue
    buildPart(part, node)
    stamps[part.name] = hash
    writeFileSync(join(ROOT, STAMP), JSON.stringify(stamps))
  }
}

/**
 * @param {Part} part
 * @param {string} node
 */
function buildPart(part, node) {
  const startedAt = Date.now()
  console.log(`Kvar: building the ${part.name} …`)
  if (!part.build(node))
    fail(`The ${part.name} could not be built`, 'the lines above name the file and what is wrong with it')
  console.log(`Kvar: ${part.name} built in ${((Date.now() - startedAt) / 1000).toFixed(1)} s.`)
}

/** Tests and documents do not change what is built. @param {string} path */
function isBuilt(path) {
  return !/\.test\.ts$|\.md$|\.tsbuildinfo$/.test(path)
}

/** @returns {Record<string, string>} */
function readStamps() {
  try {
    return JSON.parse(readOrEmpty(STAMP))
  } catch {
    return {}
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const node = requireNode()
  for (const part of PARTS) buildPart(part, node)
}
