// Goal: a connection cut after the body was sent gives neither a false "created" nor a false "exists",
// on a real server. Method: a proxy in front of it that drops the answer to the request that decides.

import { expect, it } from 'vitest'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { parseTargetUrl } from '../../packages/kvar/src/settings/target-url.ts'
import { openTarget } from '../../packages/kvar/src/targets/open-target.ts'
import { readAll, type Target } from '../../packages/kvar/src/targets/target.ts'
import { withRetries } from '../../packages/kvar/src/targets/wrappers/retrying-target.ts'
import { type CuttingProxy, startCuttingProxy } from '../servers/cutting-proxy.ts'

const source = { kind: 'variable', label: 'the test', baseFolder: '/' } as const
const modifiedAtMs = 1_795_428_930_123
const ours = new Uint8Array(50_000).fill(1)
const theirs = new Uint8Array(50_000).fill(2)

export interface CutOptions {
  /** The target's URL through a proxy on this port, and its secrets. */
  place(port: number): { url: string; secrets: Record<string, string> }
  /** Where the server really listens. */
  serverPort(): number
  /** Matches the first line of the request that decides a create. */
  deciding: RegExp
  /** Matches the request whose answer says that a key is taken, where another one decides. */
  refusing?: RegExp
  /** Matches the request that brings an object's bytes. */
  reading?: RegExp
}

/** Call inside a `describe` whose server runs. */
export function describeCutAnswers({ place, serverPort, deciding, ...options }: CutOptions): void {
  const { refusing = deciding, reading = /^GET/ } = options
  const through = async (work: (proxy: CuttingProxy, target: Target) => Promise<void>) => {
    const proxy = await startCuttingProxy(serverPort())
    const { url, secrets } = place(proxy.port)
    const target = await openTarget(parseTargetUrl(url, { source, environment: secrets }), systemPlatform)
    try {
      await work(proxy, target)
    } finally {
      await target.close()
      await proxy.stop()
    }
  }

  it('says "temporary" when the answer to a create is cut', () =>
    through(async (proxy, target) => {
      proxy.cutAnswersTo(deciding)
      await expect(target.create('cut/a', ours, { modifiedAtMs })).rejects.toMatchObject({
        failure: 'temporary',
      })
      expect(proxy.cuts).toBe(1)
      expect(await readAll(target, 'cut/a')).toHaveLength(ours.length)
    }))

  it('knows its own object again by reading it back', () =>
    through(async (proxy, target) => {
      const patient = withRetries(target, { platform: systemPlatform })
      proxy.cutAnswersTo(deciding)
      expect(await patient.create('cut/b', ours, { modifiedAtMs })).toBe('created')
      expect(proxy.cuts).toBe(1)
      expect(await patient.create('cut/b', ours, { modifiedAtMs })).toBe('exists')
    }))

  it('does not take another writer’s object for its own', () =>
    through(async (proxy, target) => {
      const patient = withRetries(target, { platform: systemPlatform })
      await target.create('cut/c', theirs, { modifiedAtMs })
      proxy.cutAnswersTo(refusing)
      expect(await patient.create('cut/c', ours, { modifiedAtMs })).toBe('exists')
      expect(proxy.cuts).toBe(1)
      expect((await readAll(target, 'cut/c'))?.[0]).toBe(2)
    }))

  it('reads on where an answer broke off', () =>
    through(async (proxy, target) => {
      const patient = withRetries(target, { platform: systemPlatform })
      await target.create('cut/d', ours, { modifiedAtMs })
      proxy.cutAnswersTo(reading, 2)
      expect(Buffer.compare((await readAll(patient, 'cut/d')) as Uint8Array, ours)).toBe(0)
      expect(proxy.cuts).toBe(2)
    }))
}
