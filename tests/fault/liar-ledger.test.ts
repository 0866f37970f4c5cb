/*
 * Goal: a server that cannot refuse a second writer is found out when it is adopted, and refused as ledger
 * with a sentence, an exit code and a status that stays; it may follow.
 * Method: the real command line with a little S3 of ours that ignores `If-None-Match`, or looks first and
 * stores a moment later, or stands behind a real nginx that drops the header on its way.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KvarWorld, lastOf } from '../cli/kvar-world.ts'
import { type Lie, type LyingS3, startLyingS3 } from '../servers/lying-s3.ts'
import { droppingNginxLeftOut, startDroppingNginx } from '../servers/nginx-proxy.ts'

const SETTING_INVALID = 2

let world: KvarWorld
let s3: LyingS3
beforeEach(async () => {
  world = new KvarWorld()
  s3 = await startLyingS3()
})
afterEach(async () => {
  await world.end()
  await s3.stop()
})

function use(endpoint: string, ...before: string[]): string {
  const url = `s3://bucket/app?endpoint=${encodeURIComponent(endpoint)}`
  world.variables = {
    KVAR_DB: world.database,
    KVAR_TARGETS: [...before, url].join(' '),
    KVAR_S3_ACCESS_KEY_ID: 'AKIATESTTEST',
    KVAR_S3_SECRET_ACCESS_KEY: 's3cret',
  }
  return url
}

/** Refused before the app starts, with nothing left behind, and whoever asks later is told. */
async function expectRefused(sentence: RegExp): Promise<void> {
  const { code, stdout, stderr } = await world.run(['add', 'milk']).ended
  expect(code, stderr).toBe(SETTING_INVALID)
  expect(stderr).toMatch(sentence)
  expect(stderr).toMatch(/put another target first; this one can follow it/)
  expect(stdout).toBe('')
  expect([...s3.objects.keys()]).toEqual([])
  const status = lastOf((await world.kvar(['status', '--json'])).stdout)
  expect(status).toMatchObject({ running: false, problem: { code: 'SETTING_INVALID' } })
  expect((await world.kvar(['status'])).stdout).toMatch(sentence)
  const doctor = await world.kvar(['doctor'])
  expect(doctor.code).not.toBe(0)
  expect(doctor.stdout + doctor.stderr).toMatch(sentence)
}

describe('an S3 server as ledger', { timeout: 120_000 }, () => {
  it('that keeps the contract is taken, and a former refusal is forgotten', async () => {
    use(s3.url)
    s3.lie = 'ignores-conditions'
    expect((await world.run(['add', 'milk']).ended).code).toBe(SETTING_INVALID)
    s3.lie = undefined
    expect(await world.add('milk')).toEqual(['milk'])
    expect(lastOf((await world.kvar(['status', '--json'])).stdout)).toMatchObject({ problem: null })
  })

  it.each<[Lie, RegExp]>([
    ['ignores-conditions', /overwrites objects it should refuse, so it cannot decide which version is next/],
    ['looks-first', /tells several writers at once that each of them was first/],
  ])('that %s is refused', async (lie, sentence) => {
    use(s3.url)
    s3.lie = lie
    await expectRefused(sentence)
  })

  it.skipIf(droppingNginxLeftOut !== '')(
    `behind an nginx that drops the condition is refused${droppingNginxLeftOut}`,
    async () => {
      const nginx = await startDroppingNginx(s3.url)
      try {
        use(nginx.url)
        await expectRefused(/overwrites objects it should refuse/)
      } finally {
        await nginx.stop()
      }
    },
  )

  it('that ignores conditions may follow', async () => {
    s3.lie = 'ignores-conditions'
    const url = use(s3.url, world.target)
    expect(await world.add('milk')).toEqual(['milk'])
    expect([...s3.objects.keys()].some((key) => key.startsWith('app/0000/'))).toBe(true)
    const { stdout } = await world.kvar(['doctor'])
    expect(stdout).toContain(`${url} overwrites objects it should refuse; it can only follow another target`)
  })
})
