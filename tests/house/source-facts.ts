import { parseAst } from 'vitest/node'

/** One import or re-export of a source file. */
export interface SourceImport {
  from: string
  /** Erased before the program runs. */
  isTypeOnly: boolean
}

/** What a source file reaches for, read from its syntax: comments and strings cannot mislead it. */
export interface SourceFacts {
  imports: SourceImport[]
  /** Uses of the world outside, such as `Date.now` or `setTimeout`. */
  globals: string[]
}

interface Node {
  type: string
  [field: string]: unknown
}

const TIMERS_AND_NETWORK = new Set(['setTimeout', 'setInterval', 'fetch'])
const RANDOM_IMPORTS = new Set(['randomBytes', 'randomUUID', 'randomInt', 'randomFillSync', 'webcrypto'])
const MEMBERS = new Set(['Date.now', 'Math.random', 'performance.now'])
const CRYPTO_MEMBER = /^crypto\.(random\w+|getRandomValues)$/

/** Parses TypeScript and collects its imports and its uses of clock, randomness, timers, network and process. */
export function readSourceFacts(source: string): SourceFacts {
  const facts: SourceFacts = { imports: [], globals: [] }
  visit(parseAst(source, { lang: 'ts' }) as unknown, (node) => {
    collectImport(node, facts)
    const name = globalUsedBy(node)
    if (name !== undefined) facts.globals.push(name)
  })
  return facts
}

function visit(value: unknown, see: (node: Node) => void): void {
  if (Array.isArray(value)) {
    for (const item of value) visit(item, see)
  } else if (typeof value === 'object' && value !== null) {
    if (typeof (value as Node).type === 'string') see(value as Node)
    for (const field of Object.values(value)) visit(field, see)
  }
}

function collectImport(node: Node, facts: SourceFacts): void {
  const source = node.source as { value?: unknown } | null | undefined
  if (typeof source?.value !== 'string') return
  facts.imports.push({ from: source.value, isTypeOnly: isTypeOnly(node) })
  for (const specifier of (node.specifiers ?? []) as Node[]) {
    const name = nameOf(specifier.imported)
    if (name !== undefined && RANDOM_IMPORTS.has(name)) facts.globals.push(`import of ${name}`)
  }
}

/** `import type …`, `export type …`, and an import whose every name is marked `type`. */
function isTypeOnly(node: Node): boolean {
  if (node.importKind === 'type' || node.exportKind === 'type') return true
  const specifiers = (node.specifiers ?? []) as Node[]
  return (
    specifiers.length > 0 && specifiers.every((one) => one.importKind === 'type' || one.exportKind === 'type')
  )
}

function globalUsedBy(node: Node): string | undefined {
  if (node.type === 'MemberExpression') return forbiddenMember(node)
  if (node.type === 'NewExpression') return isBareDate(node) ? 'new Date()' : undefined
  if (node.type !== 'CallExpression') return undefined
  const passed = [node.callee, ...(node.arguments as unknown[])].map(nameOf)
  return passed.find((name) => name !== undefined && TIMERS_AND_NETWORK.has(name))
}

function forbiddenMember(node: Node): string | undefined {
  const object = nameOf(node.object)
  const name = `${object}.${nameOf(node.property)}`
  if (object === 'process') return name
  return MEMBERS.has(name) || CRYPTO_MEMBER.test(name) ? name : undefined
}

/** `new Date(x)` only converts; without an argument it asks the clock. */
function isBareDate(node: Node): boolean {
  return nameOf(node.callee) === 'Date' && (node.arguments as unknown[]).length === 0
}

function nameOf(value: unknown): string | undefined {
  const node = value as Node | null | undefined
  return node?.type === 'Identifier' ? (node.name as string) : undefined
}
