import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

/**
 * The compiled Kvar under test. `KVAR_PROOF_PRODUCT` names another one: a copy that stands still
 * while the sources change, or one that was broken on purpose to see the loops fail.
 */
export const productFolder = resolve(
  process.env.KVAR_PROOF_PRODUCT ?? join(import.meta.dirname, '../../packages/kvar'),
)

/** URL of a compiled module of the product. */
export function moduleOf(path: string): string {
  return pathToFileURL(join(productFolder, 'dist', path)).href
}

export const commandLine = join(productFolder, 'bin/kvar.js')

/** Compiles the sources, unless another product was named: a loop must not prove yesterday's code. */
export function compileProduct(): void {
  if (process.env.KVAR_PROOF_PRODUCT !== undefined) return
  const root = join(import.meta.dirname, '../..')
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const { status, stdout } = spawnSync(process.execPath, [compiler, '-b', 'packages/kvar'], {
    cwd: root,
    encoding: 'utf8',
  })
  if (status !== 0) process.stderr.write(stdout)
  if (!existsSync(join(productFolder, 'dist/index.js'))) throw new Error('Kvar does not compile')
}

const cliEntry = join(productFolder, 'dist/cli/main.js')
export const hasCommandLine = () => existsSync(cliEntry)
