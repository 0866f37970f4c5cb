import { pathToFileURL } from 'node:url'
import { requireNode, runNode, toolScript } from './project.mjs'

// What must hold before any test is worth its time: types, in the sources and in the tests, and the
// common form of the code. `npm run check` runs it alone.

/**
 * @typedef {object} Check
 * @property {string} name
 * @property {() => string[]} args
 */

/** @type {Check[]} */
const CHECKS = [
  {
    name: 'types',
    args: () => [toolScript('typescript', 'tsc'), '-b', 'packages/kvar', 'apps/familjekalender'],
  },
  {
    name: 'types of the page',
    args: () => [toolScript('typescript', 'tsc'), '-p', 'apps/familjekalender/web'],
  },
  { name: 'types of the tests', args: () => [toolScript('typescript', 'tsc'), '-p', 'tsconfig.tests.json'] },
  {
    name: 'form and lint',
    args: () => [toolScript('@biomejs/biome', 'biome'), 'check', '--error-on-warnings', '.'],
  },
]

/**
 * @param {string} node
 * @returns {string[]} the names of the checks that failed
 */
export function runChecks(node) {
  return CHECKS.filter(({ name, args }) => {
    const isGood = runNode(node, args())
    console.log(`${isGood ? 'ok' : 'FAILED'}: ${name}`)
    return !isGood
  }).map(({ name }) => name)
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = runChecks(requireNode()).length === 0 ? 0 : 1
}
