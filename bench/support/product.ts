import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * The product as its users run it, compiled; with KVAR_BENCH_SOURCE=1 straight from the sources, for
 * work on them (starting is then slower by the time Node takes to strip the types).
 */
const compiled = process.env.KVAR_BENCH_SOURCE !== '1'

/** A module of the library, by its path in `src` without extension. */
export function productModule(path: string): string {
  const file = compiled ? `dist/${path}.js` : `src/${path}.ts`
  const url = new URL(`../../packages/kvar/${file}`, import.meta.url)
  if (!existsSync(fileURLToPath(url))) throw new Error(`${file} is not there: run npm run build`)
  return url.href
}

type Index = typeof import('../../packages/kvar/src/index.ts')

const index = (await import(productModule('index'))) as Index

export const createPersistentDb: Index['createPersistentDb'] = index.createPersistentDb

export const NODE = process.execPath
