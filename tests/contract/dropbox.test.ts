// Goal: the Dropbox target keeps the contract, alone and inside every wrapper, with uploads at once and in
// sessions. Method: the shared suite against an emulator written from the public reference
// (tests/emulators/dropbox.ts), a folder of its own for each test. With KVAR_TEST_DROPBOX=dropbox:/Folder and
// the sign-in in the environment the same suite runs against a real account.

import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe } from 'vitest'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { parseTargetUrl } from '../../packages/kvar/src/settings/target-url.ts'
import { readDropboxSettings } from '../../packages/kvar/src/targets/dropbox/dropbox-settings.ts'
import { createDropboxTarget } from '../../packages/kvar/src/targets/dropbox/dropbox-target.ts'
import { openTarget } from '../../packages/kvar/src/targets/open-target.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'
import { withFaults } from '../../packages/kvar/src/targets/wrappers/faulty-target.ts'
import { withMetering } from '../../packages/kvar/src/targets/wrappers/metering-target.ts'
import { withRetries } from '../../packages/kvar/src/targets/wrappers/retrying-target.ts'
import { DropboxEmulator } from '../emulators/dropbox.ts'
import { describeCutAnswers } from './cut-answers.ts'
import { raceProcesses } from './race-processes.ts'
import { type ContractSubject, describeTargetContract } from './target-contract.ts'

const RACERS = 4
const { clock } = systemPlatform
const source = { kind: 'variable', label: 'the test', baseFolder: '/' } as const
/** Small ones, so that bodies of the suite are sent in sessions. */
const SESSIONS = { sessionAboveBytes: 100_000, pieceBytes: 300_000 }

interface Place {
  url: string
  secrets: Record<string, string>
}

function settingOf({ url, secrets }: Place) {
  return parseTargetUrl(url, { source, environment: secrets })
}

function openBare(place: Place): () => Promise<ContractSubject> {
  return async () => {
    const own = { ...place, url: inFreshFolder(place.url) }
    const open = () => openTarget(settingOf(own), systemPlatform)
    const race = (contested: string[]) =>
      raceProcesses(own.url, contested, { racers: RACERS, secrets: own.secrets })
    return { target: await open(), reopen: open, race, dispose: async () => undefined }
  }
}

const allWrappers = (target: Target) =>
  withRetries(withMetering(withFaults(target, { clock })), { platform: systemPlatform })

/** Behind the path, before the question mark. */
function inFreshFolder(url: string): string {
  return url.replace(/\/?(\?|$)/, `/${randomBytes(6).toString('hex')}$1`)
}

describe('the emulator', () => {
  let dropbox: DropboxEmulator
  let refreshToken: string
  beforeAll(async () => {
    dropbox = await DropboxEmulator.start()
    refreshToken = dropbox.oauth.newRefreshToken()
  })
  afterAll(() => dropbox.stop())

  const place = (endpoint = dropbox.url): Place => ({
    url: `dropbox:/Kvar/åäö (a+b)?endpoint=${encodeURIComponent(endpoint)}`,
    secrets: { KVAR_DROPBOX_APP_KEY: dropbox.oauth.app.id, KVAR_DROPBOX_REFRESH_TOKEN: refreshToken },
  })
  describeTargetContract('dropbox', () => openBare(place())())
  describeTargetContract('dropbox in sessions, all wrappers', async () => {
    const settings = readDropboxSettings(settingOf({ ...place(), url: inFreshFolder(place().url) }))
    const open = async () => allWrappers(createDropboxTarget(settings, systemPlatform, SESSIONS))
    return { target: await open(), reopen: open, dispose: async () => undefined }
  })

  describe('cut connections', () => {
    describeCutAnswers({
      serverPort: () => Number(new URL(dropbox.url).port),
      place: (port) => ({
        ...place(),
        url: inFreshFolder(place(`http://127.0.0.1:${port}`).url),
      }),
      deciding: /^POST \S*files\/upload/,
      reading: /^POST \S*files\/download/,
    })
  })
})

const account = process.env.KVAR_TEST_DROPBOX
if (account !== undefined) {
  const secrets = process.env as Record<string, string>
  describeTargetContract('dropbox, a real account', openBare({ url: account, secrets }))
}
