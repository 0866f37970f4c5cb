import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

// Some tests drive programs that npm does not bring. On a machine that is there for tests they are
// installed; on a person's machine nothing is changed and one line says how to get them.

/**
 * @typedef {object} SystemPackage
 * @property {string} program found on the PATH or not
 * @property {string} packageName Debian's name for it
 * @property {string} leavesOut what cannot be tested without it
 */

/** @type {SystemPackage[]} */
const SYSTEM_PACKAGES = [
  { program: 'chromium', packageName: 'chromium', leavesOut: 'the calendar in a browser' },
  { program: 'python3', packageName: 'python3', leavesOut: 'an app in another language under "kvar run"' },
  { program: 'radosgw', packageName: 'radosgw', leavesOut: 'S3 targets on a real server' },
  { program: 'ceph-mon', packageName: 'ceph-mon', leavesOut: 'S3 targets on a real server' },
  { program: 'ceph-osd', packageName: 'ceph-osd', leavesOut: 'S3 targets on a real server' },
  { program: 'apache2', packageName: 'apache2', leavesOut: 'WebDAV targets on Apache' },
  { program: 'nginx', packageName: 'nginx-extras', leavesOut: 'WebDAV targets on nginx' },
  { program: 'pg_ctlcluster', packageName: 'postgresql', leavesOut: 'PostgreSQL targets on a real server' },
  { program: 'pgbouncer', packageName: 'pgbouncer', leavesOut: 'PostgreSQL targets through a pooler' },
  { program: 'sshd', packageName: 'openssh-server', leavesOut: 'SFTP targets on a real server' },
]

const APT_OPTIONS = ['-o', 'DPkg::Lock::Timeout=120']

/** @returns {SystemPackage[]} */
export function missingSystemPackages() {
  return SYSTEM_PACKAGES.filter(({ program }) => !isOnPath(program))
}

/** The one line that brings what is missing. */
export function aptLine() {
  const names = missingSystemPackages().map(({ packageName }) => packageName)
  return `apt-get install -y --no-install-recommends ${names.join(' ')}`
}

/** Installs what the tests need where that is wanted and possible, otherwise says what is left out. */
export function prepareSystemPackages() {
  const missing = missingSystemPackages()
  if (missing.length === 0) return
  if (mayInstall()) install(missing.map(({ packageName }) => packageName))
  sayWhatIsLeftOut()
}

function sayWhatIsLeftOut() {
  const missing = missingSystemPackages()
  if (missing.length === 0) return
  console.log('Kvar: left out on this machine:')
  for (const { packageName, leavesOut } of missing) console.log(`  ${packageName}: ${leavesOut}`)
  console.log(`  On Debian, as root: ${aptLine()}\n  (or set KVAR_TEST_INSTALL=1 and the tests install them)`)
}

function mayInstall() {
  const isWanted = process.env.CI === 'true' || process.env.KVAR_TEST_INSTALL === '1'
  return isWanted && process.getuid?.() === 0 && existsSync('/etc/debian_version') && isOnPath('apt-get')
}

/** @param {string[]} names */
function install(names) {
  console.log(`Kvar: installing ${names.join(', ')} for the tests …`)
  withoutServices(() => {
    const isReady =
      apt(['update', '-qq']) && apt(['install', '-y', '-qq', '--no-install-recommends', ...names])
    if (!isReady) console.log('Kvar: apt-get could not install them; the tests go on without.')
  })
}

/** @param {string[]} args */
function apt(args) {
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  // What apt prints on success fills pages and helps nobody; its errors are shown.
  const result = spawnSync('apt-get', [...APT_OPTIONS, ...args], {
    env: environment,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  return result.status === 0
}

const POLICY = '/usr/sbin/policy-rc.d'

/**
 * Debian starts a server when it is installed, on its public port. This policy forbids it while
 * `work` runs; whatever stood there before is put back, also when the run is interrupted.
 *
 * @param {() => void} work
 */
function withoutServices(work) {
  const before = existsSync(POLICY) ? readFileSync(POLICY) : undefined
  const stayAlive = () => {}
  process.on('SIGINT', stayAlive)
  try {
    writeFileSync(POLICY, '#!/bin/sh\nexit 101\n')
    chmodSync(POLICY, 0o755)
    work()
  } finally {
    if (before === undefined) rmSync(POLICY, { force: true })
    else writeFileSync(POLICY, before)
    process.off('SIGINT', stayAlive)
  }
}

/** @param {string} program */
function isOnPath(program) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  return folders.some((folder) => existsSync(join(folder, program)))
}
