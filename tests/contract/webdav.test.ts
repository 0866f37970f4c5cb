// Goal: the WebDAV target keeps the contract on real servers, alone and inside every wrapper, and
// processes that race for one key have one winner. Method: the shared suite on Apache and on nginx, a
// folder of its own for each test. With KVAR_TEST_WEBDAV=webdavs://user@host/folder and
// KVAR_WEBDAV_PASSWORD the same suite runs against a real account.

import { randomBytes } from 'node:crypto'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { parseTargetUrl } from '../../packages/kvar/src/settings/target-url.ts'
import { probeFence } from '../../packages/kvar/src/targets/fence-probe.ts'
import { openTarget } from '../../packages/kvar/src/targets/open-target.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'
import { withFaults } from '../../packages/kvar/src/targets/wrappers/faulty-target.ts'
import { withMetering } from '../../packages/kvar/src/targets/wrappers/metering-target.ts'
import { withRetries } from '../../packages/kvar/src/targets/wrappers/retrying-target.ts'
import { apacheLeftOut, startApache } from '../servers/apache.ts'
import { nginxLeftOut, startNginx } from '../servers/nginx.ts'
import type { WebdavServer } from '../servers/webdav.ts'
import { keys, pattern } from './contract-objects.ts'
import { describeCutAnswers } from './cut-answers.ts'
import { raceProcesses } from './race-processes.ts'
import { type ContractSubject, describeTargetContract } from './target-contract.ts'

const RACERS = 6
const modifiedAtMs = 1_795_428_930_123
const { clock } = systemPlatform
const source = { kind: 'variable', label: 'the test', baseFolder: '/' } as const

interface Place {
  url: string
  secrets: Record<string, string>
}

async function openWebdav(place: Place, wrap?: (target: Target) => Target): Promise<ContractSubject> {
  const { secrets } = place
  const url = `${place.url}-${randomBytes(6).toString('hex')}`
  const open = async () => {
    const target = await openTarget(parseTargetUrl(url, { source, environment: secrets }), systemPlatform)
    return wrap === undefined ? target : wrap(target)
  }
  return {
    target: await open(),
    reopen: open,
    ...(wrap === undefined
      ? { race: (contested: string[]) => raceProcesses(url, contested, { racers: RACERS, secrets }) }
      : {}),
    dispose: async () => undefined,
  }
}

const allWrappers = (target: Target) =>
  withRetries(withMetering(withFaults(target, { clock })), { platform: systemPlatform })

/** Wrapped only once: the wrappers have nothing to do with which server it is. */
function describeServer(
  name: string,
  start: () => Promise<WebdavServer>,
  { leftOut, isWrapped }: { leftOut: string; isWrapped: boolean },
): void {
  describe.skipIf(leftOut !== '')(`${name}${leftOut}`, () => {
    let server: WebdavServer
    beforeAll(async () => {
      server = await start()
    }, 120_000)
    afterAll(() => server?.stop())

    const place = (): Place => ({
      url: `${server.url.replace('http:', 'webdav:').replace('//', `//${server.credentials.user}@`)}/app å+b`,
      secrets: { KVAR_WEBDAV_PASSWORD: server.credentials.password },
    })
    describeTargetContract('webdav', () => openWebdav(place()))

    describe('cut connections', () => {
      describeCutAnswers({
        serverPort: () => Number(new URL(server.url).port),
        place: (port) => ({
          ...place(),
          url: `${place().url.replace(/:\d+\//, `:${port}/`)}-${randomBytes(6).toString('hex')}`,
        }),
        deciding: /^MOVE/,
      })
    })

    it('proves its fence', async () => {
      const { target } = await openWebdav(place())
      expect(await probeFence(target, { platform: systemPlatform, prefix: 'kvar/proof/' })).toBe('refuses')
      expect(await keys(target, '')).toEqual([])
      await target.close()
    })

    it('decides 10 races of 20 each', async () => {
      const { target } = await openWebdav(place())
      for (let round = 0; round < 10; round++) {
        const racers = Array.from({ length: 20 }, (_, racer) =>
          target.create(`race/${round}`, pattern(100, racer), { modifiedAtMs }),
        )
        const winners = (await Promise.all(racers)).filter((outcome) => outcome === 'created')
        expect(winners, `round ${round}`).toHaveLength(1)
      }
      await target.close()
    })

    it('says what to mend: password, address, a missing folder above, and never a secret', async () => {
      const { url, secrets } = place()
      const failing: Array<[string, Record<string, string>, object]> = [
        [url, { KVAR_WEBDAV_PASSWORD: 'wrong-secret' }, { failure: 'denied', data: { status: 401 } }],
        [url.replace(/:\d+\//, ':1/'), {}, { failure: 'temporary', data: { systemCode: 'ECONNREFUSED' } }],
        [`${url}/not/there`, {}, { failure: 'permanent', message: expect.stringMatching(/above/) }],
      ]
      for (const [where, changed, expected] of failing) {
        const { target } = await openWebdav({ url: where, secrets: { ...secrets, ...changed } })
        const creating = target.create('a', pattern(10), { modifiedAtMs })
        const thrown: unknown = await creating.catch((error: unknown) => error)
        expect(thrown).toMatchObject(expected)
        const { user, password } = server.credentials
        const pair = Buffer.from(`${user}:${password}`).toString('base64')
        for (const hidden of [password, pair, 'wrong-secret'])
          expect(inspect(thrown, { depth: 9 })).not.toContain(hidden)
        await target.close()
      }
    })

    it('clears away what crashed uploads have left, and leaves younger ones to their makers', async () => {
      const { target, reopen } = await openWebdav(place())
      await target.create('a', pattern(10), { modifiedAtMs })
      const folder = join(
        server.root,
        decodeURIComponent(new URL(target.url).pathname.split('/').at(-1) as string),
      )
      const nowMs = Date.now()
      const names = [`${nowMs - 3_700_000}-00ff`, `${nowMs - 3_500_000}-00ff`]
      for (const name of names) await writeFile(join(folder, '.kvar-tmp', name), 'half')
      const again = (await reopen?.()) as Target
      await again.create('b', pattern(10), { modifiedAtMs })
      expect(await readdir(join(folder, '.kvar-tmp'))).toEqual(names.slice(1))
      expect(await keys(again, '')).toEqual(['a', 'b'])
      for (const one of [target, again]) await one.close()
    })
    if (isWrapped) describeTargetContract('webdav, all wrappers', () => openWebdav(place(), allWrappers))
  })
}

describeServer('Apache', startApache, { leftOut: apacheLeftOut, isWrapped: true })
describeServer('nginx', startNginx, { leftOut: nginxLeftOut, isWrapped: false })

const account = process.env.KVAR_TEST_WEBDAV
if (account !== undefined) {
  const secrets = process.env as Record<string, string>
  describeTargetContract('webdav, a real account', () => openWebdav({ url: account, secrets }))
}
