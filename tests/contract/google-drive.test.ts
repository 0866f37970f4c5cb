// Goal: the Google Drive target keeps the contract as far as Google can, alone and inside every wrapper, with
// uploads at once and in pieces, signed in as a person and as a service account. Method: the shared suite
// against an emulator written from the public reference (tests/emulators/google-drive.ts), a folder of its
// own for each test. With KVAR_TEST_GDRIVE=gdrive:/Folder and the sign-in in the environment the same suite
// runs against a real account.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe } from 'vitest'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { parseTargetUrl } from '../../packages/kvar/src/settings/target-url.ts'
import { readGoogleDriveSettings } from '../../packages/kvar/src/targets/google-drive/google-drive-settings.ts'
import { createGoogleDriveTarget } from '../../packages/kvar/src/targets/google-drive/google-drive-target.ts'
import { openTarget } from '../../packages/kvar/src/targets/open-target.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'
import { withFaults } from '../../packages/kvar/src/targets/wrappers/faulty-target.ts'
import { withMetering } from '../../packages/kvar/src/targets/wrappers/metering-target.ts'
import { withRetries } from '../../packages/kvar/src/targets/wrappers/retrying-target.ts'
import { GoogleDriveEmulator } from '../emulators/google-drive.ts'
import { describeCutAnswers } from './cut-answers.ts'
import { type ContractSubject, describeTargetContract } from './target-contract.ts'

const { clock } = systemPlatform
const source = { kind: 'variable', label: 'the test', baseFolder: '/' } as const
/** Small ones, so that bodies of the suite are sent in pieces. */
const PIECES = { resumableAboveBytes: 100_000, pieceBytes: 262_144 }

interface Place {
  url: string
  secrets: Record<string, string>
}

function settingOf({ url, secrets }: Place) {
  return parseTargetUrl(url, { source, environment: secrets })
}

/** No races between processes: this target says itself that it cannot decide them. */
function openBare(place: Place): () => Promise<ContractSubject> {
  return async () => {
    const setting = settingOf({ ...place, url: inFreshFolder(place.url) })
    const open = () => openTarget(setting, systemPlatform)
    return { target: await open(), reopen: open, dispose: async () => undefined }
  }
}

const allWrappers = (target: Target) =>
  withRetries(withMetering(withFaults(target, { clock })), { platform: systemPlatform })

/** Behind the path, before the question mark. */
function inFreshFolder(url: string): string {
  return url.replace(/\/?(\?|$)/, `/${randomBytes(6).toString('hex')}$1`)
}

describe('the emulator', () => {
  let drive: GoogleDriveEmulator
  let person: Record<string, string>
  let serviceAccount: Record<string, string>
  beforeAll(async () => {
    drive = await GoogleDriveEmulator.start()
    person = {
      KVAR_GDRIVE_CLIENT_ID: drive.oauth.app.id,
      KVAR_GDRIVE_CLIENT_SECRET: drive.oauth.app.secret as string,
      KVAR_GDRIVE_REFRESH_TOKEN: drive.oauth.newRefreshToken(),
    }
    const { publicKey, privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    })
    const client_email = 'kvar@our-project.example'
    drive.oauth.accounts.set(client_email, { publicKey, audience: `${drive.url}/token` })
    serviceAccount = {
      KVAR_GDRIVE_SERVICE_ACCOUNT: JSON.stringify({ client_email, private_key: privateKey }),
    }
  })
  afterAll(() => drive.stop())

  const address = (endpoint = drive.url) => `gdrive:/Kvar/it's åäö?endpoint=${encodeURIComponent(endpoint)}`
  describeTargetContract('gdrive', () => openBare({ url: address(), secrets: person })())
  describeTargetContract('gdrive in pieces, a service account, all wrappers', async () => {
    const url = `${inFreshFolder(address())}&drive=shared-1234`
    const settings = readGoogleDriveSettings(settingOf({ url, secrets: serviceAccount }))
    const open = async () => allWrappers(createGoogleDriveTarget(settings, systemPlatform, PIECES))
    return { target: await open(), reopen: open, dispose: async () => undefined }
  })

  describe('cut connections', () => {
    describeCutAnswers({
      serverPort: () => Number(new URL(drive.url).port),
      place: (port) => ({ url: inFreshFolder(address(`http://127.0.0.1:${port}`)), secrets: person }),
      deciding: /^POST \/upload\//,
      refusing: /^GET \S*\/files\?/,
      reading: /^GET \S*alt=media/,
    })
  })
})

const account = process.env.KVAR_TEST_GDRIVE
if (account !== undefined) {
  const secrets = process.env as Record<string, string>
  describeTargetContract('gdrive, a real account', openBare({ url: account, secrets }))
}
