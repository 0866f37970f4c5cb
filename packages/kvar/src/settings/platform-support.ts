import { KvarError } from '../errors.ts'

/** The facts about a machine that decide whether Kvar may run on it. */
export interface PlatformFacts {
  /** As in `process.platform`. */
  platform: string
  /** As in `process.arch`. */
  arch: string
  /** The C library; undefined where the question makes no sense (macOS) or has no answer. */
  libc: 'glibc' | 'musl' | undefined
  /** As in `process.versions.node`. */
  nodeVersion: string
  /** The version of SQLite that Kvar itself would use. */
  sqliteVersion: string
}

const TESTED = 'Kvar runs on Linux (x64 and arm64, with glibc) and on macOS'
const OLDEST_NODE: Version = [22, 23, 0]

/**
 * Why Kvar refuses to run here, or undefined when it may. A refusal is better than a promise that
 * nobody has tested: file locks and renames differ where it matters most.
 *
 * @example
 * const refusal = checkPlatform({ platform: 'linux', arch: 'x64', libc: 'glibc', nodeVersion: '24.21.0', sqliteVersion: '3.53.4' })
 * if (refusal !== undefined) throw refusal
 */
export function checkPlatform(facts: PlatformFacts): KvarError | undefined {
  if (facts.platform === 'win32') return unsupported('Windows', `${TESTED}; on Windows use WSL 2`, facts)
  if (facts.platform !== 'linux' && facts.platform !== 'darwin')
    return unsupported(facts.platform, TESTED, facts)
  if (facts.arch !== 'x64' && facts.arch !== 'arm64')
    return unsupported(`${facts.arch} processors`, TESTED, facts)
  if (facts.libc === 'musl') {
    return unsupported(
      'musl (Alpine Linux)',
      `${TESTED}; take an image with glibc, such as node:24-slim`,
      facts,
    )
  }
  return checkVersions(facts)
}

function checkVersions(facts: PlatformFacts): KvarError | undefined {
  const node = parseVersion(facts.nodeVersion)
  if (node === undefined || compare(node, OLDEST_NODE) < 0) {
    return refusal(
      `Kvar needs Node 22.23 or newer; this is Node ${facts.nodeVersion}`,
      'install Node 24',
      facts,
    )
  }
  if (hasWalResetBug(facts.sqliteVersion)) {
    const sentence = `Node ${facts.nodeVersion} brings SQLite ${facts.sqliteVersion}, which can corrupt a database in WAL mode`
    return refusal(sentence, 'install a Node with SQLite 3.51.3 or newer, such as Node 22.23 or 24.21', facts)
  }
  return undefined
}

/**
 * Whether a SQLite has the WAL-reset bug (3.7.0 – 3.51.2): one connection's checkpoint can corrupt
 * what another is committing. Mended in 3.51.3 and 3.53.0 and in the backports 3.44.6 and 3.50.7;
 * 3.52.0 was withdrawn. Unknown or unreadable versions count as affected: that is the safe mistake.
 * (sqlite.org/wal.html, "The WAL-Reset Bug")
 */
export function hasWalResetBug(sqliteVersion: string): boolean {
  const version = parseVersion(sqliteVersion)
  if (version === undefined) return true
  if (compare(version, [3, 53, 0]) >= 0) return false
  const mendedPatch: Record<string, number> = { '3.51': 3, '3.50': 7, '3.44': 6 }
  const patch = mendedPatch[`${version[0]}.${version[1]}`]
  return patch === undefined || version[2] < patch
}

type Version = [major: number, minor: number, patch: number]

function parseVersion(text: string): Version | undefined {
  const match = /^v?(\d+)\.(\d+)(?:\.(\d+))?/.exec(text)
  return match === null ? undefined : [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)]
}

function compare(a: Version, b: Version): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2]
}

function unsupported(what: string, hint: string, facts: PlatformFacts): KvarError {
  return refusal(`Kvar has not been tested on ${what}, so it does not run there`, hint, facts)
}

function refusal(sentence: string, hint: string, facts: PlatformFacts): KvarError {
  return new KvarError('UNSUPPORTED', sentence, { hint, data: { ...facts } })
}
