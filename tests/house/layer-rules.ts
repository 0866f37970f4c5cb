import { posix } from 'node:path'
import type { SourceFacts } from './source-facts.ts'

/** From the bottom to the top. A folder imports from rows above its own in this list, and from itself. */
export const LAYERS: string[][] = [
  ['errors'],
  ['platform'],
  ['formats', 'settings'],
  ['targets'],
  ['capture', 'log', 'copies'],
  ['keeper'],
  ['cli'],
  ['persistence'],
  ['index'],
]

/** Types that are the product's words; every layer may speak them, none gets code from them. */
const WORDS = new Set(['persistence-types.ts', 'keeper/status.ts'])

/** Files where the process itself is the subject: they hand environment and signals to the rest. */
const DOORS = /^(platform\/|cli\/|keeper\/main\.ts$|persistence\.ts$)/

const OUTSIDE_WORLD = new Set(
  [
    'fs',
    'fs/promises',
    'net',
    'http',
    'https',
    'tls',
    'dgram',
    'child_process',
    'sqlite',
    'worker_threads',
  ].map((name) => `node:${name}`),
)

/** Each kind of copy stands alone: what two of them share lies in a file of another name. */
const COPY_KIND = /^copies\/(json|backup|google-sheets|postgres-tables)\b/
/** `http/` is what the targets that speak HTTP share: no target, and it imports none. */
const TARGET_FOLDER = /^targets\/(?!http\/)([^/]+)\//

/** Why a file below `src` breaks the layers, one sentence each; none when it keeps them. */
export function layerViolations(file: string, facts: SourceFacts): string[] {
  return [
    ...facts.imports.flatMap((one) => importViolation(file, one.from, one.isTypeOnly)),
    ...facts.globals.filter((name) => !mayUse(file, name)).map((name) => `${file} uses ${name}`),
  ]
}

function importViolation(file: string, from: string, isTypeOnly: boolean): string[] {
  if (!from.startsWith('.')) return worldViolation(file, from, isTypeOnly)
  const imported = posix.join(posix.dirname(file), from)
  if (isTypeOnly && WORDS.has(imported)) return []
  const sentence = `${file} imports ${imported}`
  if (rankOf(imported) > rankOf(file)) return [`${sentence}: upwards`]
  const isSideways = rankOf(imported) === rankOf(file) && layerOf(imported) !== layerOf(file)
  return isSideways || isBetweenSiblings(file, imported) ? [`${sentence}: sideways`] : []
}

/** A program refers to built-in modules with their prefix, so that none can be mistaken for a package. */
function worldViolation(file: string, from: string, isTypeOnly: boolean): string[] {
  const isOutside = OUTSIDE_WORLD.has(from) || OUTSIDE_WORLD.has(`node:${from}`)
  return isOutside && !isTypeOnly && !file.startsWith('platform/') ? [`${file} imports ${from}`] : []
}

function isBetweenSiblings(file: string, imported: string): boolean {
  return [TARGET_FOLDER, COPY_KIND].some((pattern) => {
    const [own, other] = [pattern.exec(file)?.[1], pattern.exec(imported)?.[1]]
    return own !== undefined && other !== undefined && own !== other
  })
}

function mayUse(file: string, name: string): boolean {
  return file.startsWith('platform/') || (name.startsWith('process.') && DOORS.test(file))
}

/** The first part of the path below `src`: a folder, or a file of its own rank. */
function layerOf(file: string): string {
  const name = (file.split('/')[0] ?? '').replace(/\.ts$/, '')
  return name === 'persistence-types' ? 'persistence' : name
}

function rankOf(file: string): number {
  const rank = LAYERS.findIndex((names) => names.includes(layerOf(file)))
  if (rank < 0) throw new Error(`${file} lies in no layer: add it to LAYERS and to ARCHITECTURE.md`)
  return rank
}
