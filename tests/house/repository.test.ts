// Goal: a stranger can clone, install and read this repository anywhere: nothing in it depends on
// the machine it was written on, versions are exact, links lead somewhere, files stay readable.
// Method: every text file, the manifests and the lock file are read as they are.
import { existsSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ROOT, readJson, readText, repositoryFiles, textOf } from './repository.ts'

interface Manifest {
  workspaces?: string[]
  dependencies?: Record<string, string>
  devDependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
}

const files = repositoryFiles()
const manifests = ['', ...(readJson<Manifest>('package.json').workspaces ?? [])]

/** `file:line` of every line that matches. */
function linesMatching(pattern: RegExp, paths: string[]): string[] {
  return paths.flatMap((path) =>
    (textOf(path) ?? '')
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}`] : [])),
  )
}

/** Relative paths to a folder named `shared` that is not one of this repository's own. */
function outsideReferences(path: string): string[] {
  return [...(textOf(path) ?? '').matchAll(/(?:[.][.][/])+shared\b[\w./-]*/g)]
    .map((match) => posix.join(posix.dirname(path), match[0]))
    .filter((target) => target.startsWith('..') || !existsSync(join(ROOT, target)))
    .map((target) => `${path} → ${target}`)
}

function installed(manifest: Manifest): Record<string, string> {
  return { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies }
}

describe('text', () => {
  it('names no package registry host', () => {
    expect(linesMatching(/registry[.](npmjs|yarnpkg)|npm[.]pkg[.]github/, files)).toEqual([])
  })

  it('has no absolute path of a machine', () => {
    expect(linesMatching(/(?<![\w.:~-])\/(?:work|root|Users)\//, files)).toEqual([])
  })

  it('refers to no folder beside the repository', () => {
    expect(files.flatMap(outsideReferences)).toEqual([])
  })

  it('has no marks of unfinished work in sources', () => {
    const sources = files.filter(
      (path) => /\.(ts|mjs|svelte)$/.test(path) && !path.startsWith('tests/house/'),
    )
    expect(linesMatching(/\b(TODO|FIXME|XXX)\b|@ts-(ignore|nocheck)/, sources)).toEqual([])
  })

  it('keeps source files at 450 lines or fewer', () => {
    const sources = files.filter((path) => /\.(ts|mjs|svelte)$/.test(path) && !path.endsWith('.test.ts'))
    expect(sources.filter((path) => readText(path).split('\n').length > 451)).toEqual([])
  })
})

describe('packages', () => {
  it.each(manifests)('are pinned exactly in "%s"', (folder) => {
    const wanted = installed(readJson<Manifest>(join(folder, 'package.json')))
    const loose = Object.entries(wanted).filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
    expect(loose).toEqual([])
  })

  it.each(manifests)('of "%s" are the ones in the lock file', (folder) => {
    const locked = readJson<{ packages: Record<string, Manifest> }>('package-lock.json').packages[folder]
    expect(installed(locked ?? {})).toEqual(installed(readJson<Manifest>(join(folder, 'package.json'))))
  })

  it('are locked by their content, not by an address', () => {
    const { packages } = readJson<{
      packages: Record<string, { resolved?: string; integrity?: string; link?: boolean }>
    }>('package-lock.json')
    const entries = Object.entries(packages).filter(([path]) => path.includes('node_modules/'))
    const withAddress = entries.filter(([, one]) => one.resolved !== undefined && /^\w+:/.test(one.resolved))
    const withoutHash = entries.filter(([, one]) => one.link !== true && one.integrity === undefined)
    expect({ withAddress, withoutHash }).toEqual({ withAddress: [], withoutHash: [] })
  })
})

describe('documents', () => {
  const documents = files.filter((path) => path.endsWith('.md'))

  it('link only to files that exist', () => {
    expect(documents.flatMap(deadLinks)).toEqual([])
  })
})

function deadLinks(document: string): string[] {
  // Code blocks show how a link looks; they are none.
  const text = readText(document).replace(/```[\s\S]*?```|`[^`\n]*`/g, '')
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1] ?? '')
    .filter((link) => !/^(\w+:|#)/.test(link))
    .filter((link) => !existsSync(join(ROOT, dirname(document), link.replace(/#.*/, ''))))
    .map((link) => `${document} → ${link}`)
}
