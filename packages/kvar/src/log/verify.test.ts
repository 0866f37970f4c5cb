/*
 * Goal: what is damaged is found by the command that promises to find it, with the object's name, the
 * versions it costs and the nearest one that is left; what is sound is never called damaged.
 * Method: random histories with ranges, snapshots and branches on a target in memory; bits flipped in
 * every part of every object, objects removed and exchanged. What is lost is worked out a second time,
 * by planning the restore of every version.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { History, LINEAGE, START_MS, seeded } from '../../../../tests/support/log-history.ts'
import { MemoryTarget } from '../../../../tests/support/memory-target.ts'
import { KvarError } from '../errors.ts'
import { decodeLtx } from '../formats/ltx-decoder.ts'
import { encodeLtx } from '../formats/ltx-encoder.ts'
import { systemPlatform } from '../platform/system.ts'
import { branchLog, createBranch } from './branches.ts'
import { storeCompaction } from './compact.ts'
import { createLineage, lineageText } from './lineage.ts'
import { fileKey, LINEAGE_KEY, type LogFile, versionKey } from './log-layout.ts'
import { planRestore } from './restore-plan.ts'
import { storeSnapshot } from './snapshot.ts'
import { type VerifyReport, verifyTarget } from './verify.ts'
import { gapsOf } from './verify-continuity.ts'
import { reachableVersions } from './verify-findings.ts'
import { VersionLog } from './version-log.ts'

const VERSIONS = 9
const BRANCH_BASE = 3

/** Versions 1 to 9, a range 2–5, a snapshot of 6, a branch after 3. */
async function fullTarget(seed: number): Promise<{ target: MemoryTarget; history: History; branch: string }> {
  const history = new History({ seed }).grow(VERSIONS)
  const target = new MemoryTarget('log')
  await createLineage(target, { lineage: lineageText(LINEAGE), createdAtMs: START_MS })
  const log = new VersionLog(target)
  for (const cut of history.cuts) await log.append(cut.version, cut.bytes, cut.timestampMs)
  const inputs = (await log.listFiles()).filter(({ minVersion }) => minVersion >= 2 && minVersion <= 5)
  const step = { level: 1, minVersion: 2, maxVersion: 5, inputs }
  await storeCompaction({ log, step, platform: systemPlatform, scratchPath: '/nowhere' })
  await storeSnapshot({ log, version: 6, pages: history.pages(6) })
  const meta = {
    ...{ lineage: lineageText(LINEAGE), reason: 'diverged', baseVersion: BRANCH_BASE },
    ...{ createdAtMs: START_MS, nodeId: 8n, host: 'attic' },
  }
  const aside = new History({ seed: seed + 1 }).grow(1)
  const { id } = await createBranch({ target, image: aside.pages(1), meta })
  return { target, history, branch: id }
}

async function verify(target: MemoryTarget, data: boolean): Promise<VerifyReport> {
  const seen: string[] = []
  const report = await verifyTarget({ target, data, onFinding: ({ sentence }) => seen.push(sentence) })
  expect(seen).toEqual(report.findings.map(({ sentence }) => sentence))
  return report
}

function flipped(target: MemoryTarget, key: string, offset: number, bit: number): MemoryTarget {
  const copy = target.clone('log')
  const bytes = copy.bytesOf(key)
  bytes[offset] = (bytes[offset] as number) ^ (1 << bit)
  return copy
}

function showsTheSame(a: Uint8Array, b: Uint8Array): boolean {
  const [one, other] = [a, b].map((bytes) => decodeLtx(bytes, 'x'))
  expect(one).toEqual(other)
  return true
}

/** Versions of the main log that planning a restore can reach without some objects. */
async function restorable(target: MemoryTarget, without: string[] = []): Promise<number[]> {
  const files = (await new VersionLog(target).listFiles()).filter(({ key }) => !without.includes(key))
  const reached: number[] = []
  for (let version = 1; version <= VERSIONS; version++) {
    try {
      planRestore(files, { kind: 'version', version })
      reached.push(version)
    } catch (thrown) {
      if (!(thrown instanceof KvarError)) throw thrown
    }
  }
  return reached
}

describe('a sound log', () => {
  it.each([false, true])('is called sound, and counted right (data: %s)', async (data) => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const { target } = await fullTarget(seed)
      const report = await verify(target, data)
      expect(report.findings).toEqual([])
      expect(report).toMatchObject({ newestVersion: 9, restorableVersion: 9, versions: 9, branches: 1 })
      expect(report).toMatchObject({ objects: 12, lineage: lineageText(LINEAGE) })
      expect(report.readBytes).toBe(data ? report.storedBytes : 0)
    }
  })

  it('may be empty', async () => {
    expect(await verify(new MemoryTarget('log'), true)).toMatchObject({ newestVersion: 0, findings: [] })
  })

  it('changes nothing, and reads little without data', async () => {
    const { target } = await fullTarget(7)
    target.calls.length = 0
    await verify(target, false)
    expect(new Set(target.calls.map(({ verb }) => verb))).toEqual(new Set(['list', 'read']))
  })

  it('survives foreign objects with a note', async () => {
    const { target } = await fullTarget(8)
    await target.create('ltx/0/readme.txt', new Uint8Array(3), { modifiedAtMs: 1 })
    const { findings } = await verify(target, true)
    expect(findings).toMatchObject([{ kind: 'foreign', severity: 'note', key: 'ltx/0/readme.txt' }])
  })
})

describe('one flipped bit', () => {
  it('anywhere in a version file, range, snapshot or branch is found with --data, by name', async () => {
    const { target, branch } = await fullTarget(11)
    const random = seeded(11)
    for (const key of target.keys().filter((one) => one.endsWith('.ltx'))) {
      const { length } = target.bytesOf(key)
      const ends = [0, 4, 40, 72, 81, 95, length - 1, length - 9, length - 17, length - 30]
      const offsets = [...ends, ...Array.from({ length: 30 }, () => Math.floor(random() * length))]
      for (const offset of offsets) {
        const bad = flipped(target, key, offset, Math.floor(random() * 8))
        const { findings } = await verify(bad, true)
        const found = findings.find((finding) => finding.key === key)
        // A flip inside a compressed page may change nothing of the page.
        if (found === undefined && showsTheSame(bad.bytesOf(key), target.bytesOf(key))) continue
        expect(found, `${key} at ${offset}`).toMatchObject({ severity: 'damage' })
        if (!key.includes(branch)) {
          const left = await restorable(bad, [key])
          const lost = Array.from({ length: VERSIONS }, (_, i) => i + 1).filter((n) => !left.includes(n))
          expect(found?.lost ?? null).toEqual(lost.length === 0 ? null : { from: lost[0], to: lost.at(-1) })
          if (lost.length > 0)
            expect(found?.nearestVersion).toBe(left.findLast((n) => n < (lost[0] as number)) ?? 0)
        } else expect(findings.map(({ sentence }) => sentence).join()).toContain(branch)
      }
    }
  })

  it('in what structure looks at is found without reading the whole object', async () => {
    const { target } = await fullTarget(12)
    for (const key of target.keys('ltx/')) {
      const { length } = target.bytesOf(key)
      // Magic, flags, page size, versions; top of the index length; trailer: zero and the flag.
      for (const [offset, bit] of [
        [1, 3],
        [7, 0],
        [11, 5],
        [23, 1],
        [31, 2],
        [length - 24, 7],
        [length - 12, 4],
        [length - 8, 7],
      ] as const) {
        const { findings } = await verify(flipped(target, key, offset, bit), false)
        expect(
          findings.find((one) => one.key === key),
          `${key} at ${offset}`,
        ).toMatchObject({ severity: 'damage' })
      }
    }
  })

  it('in lineage.json is found, unless it only changes when it was made', async () => {
    const { target } = await fullTarget(13)
    for (let offset = 0; offset < target.bytesOf(LINEAGE_KEY).length; offset++) {
      const bad = flipped(target, LINEAGE_KEY, offset, offset % 7)
      await expectFoundIn(target, bad, LINEAGE_KEY, ['createdAt'])
    }
  })

  it('in branch.json is found, unless it only changes words and dates', async () => {
    const { target, branch } = await fullTarget(14)
    const key = `kvar/branches/${branch}/branch.json`
    for (let offset = 0; offset < target.bytesOf(key).length; offset++) {
      const bad = flipped(target, key, offset, offset % 7)
      await expectFoundIn(target, bad, key, ['createdAt', 'keepUntil', 'reason', 'host'])
    }
  })
})

/** Either something is reported, or no value differs but those that nothing else knows of. */
async function expectFoundIn(
  good: MemoryTarget,
  bad: MemoryTarget,
  key: string,
  free: string[],
): Promise<void> {
  try {
    if ((await verify(bad, false)).findings.length > 0) return
  } catch (thrown) {
    expect((thrown as KvarError).code).toBe('FORMAT_TOO_NEW')
    return
  }
  const [before, after] = [good, bad].map((one) => JSON.parse(new TextDecoder().decode(one.bytesOf(key))))
  const differing = Object.keys(before).filter((name) => before[name] !== after[name])
  expect(free).toEqual(expect.arrayContaining(differing))
}

describe('an object that is gone', () => {
  it('is found by what it costs, whichever it is', async () => {
    const { target } = await fullTarget(21)
    for (const key of target.keys('ltx/')) {
      const bad = target.clone('log')
      await bad.remove([key])
      const left = await restorable(bad)
      const report = await verify(bad, false)
      const version = Number.parseInt(key.slice(-20, -4), 16)
      const isNewest = key === versionKey(bad, VERSIONS)
      // The newest version cannot be missed by the log itself: other targets and the keeper's notes know.
      const lost = Array.from({ length: VERSIONS - (isNewest ? 1 : 0) }, (_, i) => i + 1).filter(
        (n) => !left.includes(n),
      )
      const damage = report.findings.filter(({ severity }) => severity === 'damage')
      expect(damage.length > 0, `${key} (${version})`).toBe(lost.length > 0)
      if (lost.length > 0) expect(damage[0]?.lost?.to).toBe(lost.at(-1))
      expect(report.restorableVersion).toBe(left.at(-1))
    }
  })

  it('is found when it is lineage.json, branch.json or the branch’s version', async () => {
    const { target, branch } = await fullTarget(22)
    const log = branchLog(target, branch)
    for (const key of [
      LINEAGE_KEY,
      `kvar/branches/${branch}/branch.json`,
      versionKey(target, 1, log.prefix),
    ]) {
      const bad = target.clone('log')
      await bad.remove([key])
      const { findings } = await verify(bad, false)
      expect(findings, key).toMatchObject([{ severity: 'damage' }])
    }
  })

  it('is no damage when the versions below it were filled in by a snapshot', async () => {
    const { target } = await fullTarget(23)
    await target.remove([1, 2, 3, 4, 5].map((n) => versionKey(target, n)))
    await target.remove([fileKey(target, 1, 2, 5)])
    expect(await verify(target, true)).toMatchObject({ findings: [], versions: 4, restorableVersion: 9 })
  })
})

describe('a sound file with the wrong content', () => {
  /** The same versions and checksum in the header, another page. */
  function forged(bytes: Uint8Array, name: string): Uint8Array {
    const { header, pages } = decodeLtx(bytes, name)
    const [pageNumber, page] = [...pages][0] as [number, Uint8Array]
    pages.set(
      pageNumber,
      page.map((byte) => byte ^ 0x55),
    )
    return encodeLtx(header, [...pages])
  }

  it('is found with --data, at whatever level, and what follows it is judged by another way', async () => {
    const { target } = await fullTarget(31)
    for (const key of target.keys('ltx/')) {
      const bad = target.clone('log')
      const forgery = forged(bad.bytesOf(key), key)
      bad.objects.set(key, { bytes: forgery, modifiedAtMs: START_MS })
      expect((await verify(bad, false)).findings).toEqual([])
      const { findings } = await verify(bad, true)
      expect(findings.map((finding) => [finding.key, finding.kind])).toContainEqual([key, 'wrong-content'])
      const blamed = findings
        .filter((finding) => finding.kind === 'wrong-content')
        .map((finding) => finding.key)
      expect(blamed, key).toEqual([key])
    }
  })

  it('is found by its header, when a range or snapshot shows another version than level 0', async () => {
    const { target, history } = await fullTarget(32)
    const other = new History({ seed: 99 }).grow(6)
    const header = { ...decodeLtx(target.bytesOf(fileKey(target, 9, 1, 6)), 'x').header }
    const pages: Array<readonly [number, Uint8Array]> = []
    for await (const [n, page] of other.pages(6).open()) pages.push([n, page])
    const bytes = encodeLtx(
      { ...header, pageCount: pages.length, databaseChecksum: other.cut(6).databaseChecksum },
      pages,
    )
    target.objects.set(fileKey(target, 9, 1, 6), { bytes, modifiedAtMs: START_MS })
    expect(history.version).toBe(VERSIONS)
    expect((await verify(target, false)).findings).toMatchObject([{ kind: 'wrong-content', lost: null }])
  })

  it('is found when a version of another database lies in the log', async () => {
    const { target } = await fullTarget(33)
    const key = versionKey(target, 9)
    const { header, pages } = decodeLtx(target.bytesOf(key), key)
    target.objects.set(key, {
      bytes: encodeLtx({ ...header, lineage: 5n }, [...pages]),
      modifiedAtMs: START_MS,
    })
    const { findings } = await verify(target, false)
    expect(findings).toMatchObject([
      { kind: 'wrong-content', key, lost: { from: 9, to: 9 }, nearestVersion: 8 },
    ])
  })
})

describe('what files make reachable', () => {
  const someFiles = fc.array(
    fc.record({
      level: fc.constantFrom(0, 1, 9),
      a: fc.integer({ min: 1, max: 12 }),
      b: fc.integer({ min: 0, max: 8 }),
    }),
    { maxLength: 14 },
  )
  const asFiles = (records: Array<{ level: number; a: number; b: number }>): LogFile[] =>
    records.map(({ level, a, b }) => {
      const [minVersion, maxVersion] = level === 0 ? [a, a] : level === 9 ? [1, a] : [a, a + b]
      const key = `ltx/${level}/${minVersion}-${maxVersion}`
      return { key, level, minVersion, maxVersion, sizeBytes: 1, modifiedAtMs: 0 }
    })

  it('is what planning a restore of each version says', () => {
    fc.assert(
      fc.property(someFiles, (records) => {
        const files = asFiles(records)
        const head = Math.max(
          0,
          ...files.filter(({ level }) => level === 0).map(({ maxVersion }) => maxVersion),
        )
        const confirmed = files.filter(({ maxVersion }) => maxVersion <= head)
        const planned: number[] = []
        for (let version = 1; version <= head; version++) {
          try {
            planRestore(confirmed, { kind: 'version', version })
            planned.push(version)
          } catch (thrown) {
            if (!(thrown instanceof KvarError)) throw thrown
          }
        }
        expect(reachableVersions(confirmed)).toEqual(planned)
      }),
      { numRuns: 2000 },
    )
  })

  it('leaves no gap exactly when every file is of use', () => {
    fc.assert(
      fc.property(someFiles, (records) => {
        const files = asFiles(records)
        const reachable = new Set(reachableVersions(files))
        const useless = files.filter(({ maxVersion }) => !reachable.has(maxVersion))
        const gaps = gapsOf(files)
        for (const file of useless) {
          expect(gaps.some(({ lost }) => lost.from <= file.maxVersion && lost.to >= file.maxVersion)).toBe(
            true,
          )
        }
        for (const { lost, nearestVersion } of gaps) {
          expect(reachable.has(lost.from) || reachable.has(lost.to)).toBe(false)
          expect(nearestVersion === 0 || reachable.has(nearestVersion)).toBe(true)
        }
      }),
      { numRuns: 2000 },
    )
  })
})
