import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** What .gitignore names, and git's own folder. The tests also run where there is no git. */
const IGNORED = new Set(['node_modules', 'dist', 'data', 'coverage', '.git'])

/** Every file of the repository, with `/`, relative to its root, sorted. */
export function repositoryFiles(folder = ''): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true })
    .filter((entry) => !IGNORED.has(entry.name) && !entry.name.endsWith('.tsbuildinfo'))
    .flatMap((entry) => {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      return entry.isDirectory() ? repositoryFiles(path) : [path]
    })
    .sort()
}

export function readText(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/** The file's text, or undefined for a binary one: a database, a picture, a log object. */
export function textOf(path: string): string | undefined {
  const bytes = readFileSync(join(ROOT, path))
  return bytes.includes(0) ? undefined : bytes.toString('utf8')
}

export function readJson<T>(path: string): T {
  return JSON.parse(readText(path)) as T
}
