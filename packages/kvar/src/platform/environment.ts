import * as fs from 'node:fs'

/** What the process was started with. */
export interface Environment {
  variables: Record<string, string | undefined>
  workingFolder: string
}

export function readEnvironment(): Environment {
  return { variables: process.env, workingFolder: process.cwd() }
}

/** A small text file, or undefined when it is not there. */
export function readTextFile(path: string): string | undefined {
  try {
    return fs.readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** The facts that decide whether this machine is one Kvar was tested on. */
export function machineFacts() {
  const { platform, arch, versions } = process
  return {
    platform,
    arch,
    libc: platform === 'linux' ? detectLibc() : undefined,
    nodeVersion: versions.node,
    // Node lists its bundled SQLite among its own versions.
    sqliteVersion: versions.sqlite ?? '0.0.0',
  }
}

/** The dynamic linker of musl lies at a fixed place; a Node built for glibc cannot run without its own. */
function detectLibc(): 'glibc' | 'musl' {
  // Without this the report looks up the names of all network peers.
  const report = process.report as typeof process.report & { excludeNetwork: boolean }
  report.excludeNetwork = true
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } }
  return header.glibcVersionRuntime === undefined ? 'musl' : 'glibc'
}
