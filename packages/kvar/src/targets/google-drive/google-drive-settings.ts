import type { TargetSetting } from '../../settings/target-url.ts'
import { readCloudFolder } from '../cloud-folder.ts'
import { readTestEndpoint } from '../http/test-endpoint.ts'
import { targetInvalid } from '../remote-address.ts'

/** Everything a Google Drive target needs to know. */
export interface GoogleDriveSettings {
  /** The target's URL, without secrets. */
  url: string
  /** The names of the folders that lead to the target; at least one. */
  folder: string[]
  /** The shared drive that holds the folder; the account's own drive where it is left out. */
  sharedDrive: string | undefined
  credentials: GoogleCredentials
  addresses: GoogleAddresses
}

export type GoogleCredentials =
  | { kind: 'person'; clientId: string; clientSecret: string; refreshToken: string }
  /** The key as JSON, or the absolute path of the file that holds it. */
  | { kind: 'service-account'; key: string }

export interface GoogleAddresses {
  api: string
  upload: string
  token: string
  authorize: string
}

/** Google's own addresses (Drive API reference, "Service endpoint"; Identity, "Endpoints"), or an emulator's. */
export function googleAddresses(emulator?: string): GoogleAddresses {
  const host = (name: string) => emulator ?? `https://${name}`
  return {
    api: `${host('www.googleapis.com')}/drive/v3`,
    upload: `${host('www.googleapis.com')}/upload/drive/v3`,
    token: `${host('oauth2.googleapis.com')}/token`,
    authorize: `${host('accounts.google.com')}/o/oauth2/v2/auth`,
  }
}

/** The right to files that this app has made, and to no others. */
export const OWN_FILES_SCOPE = 'https://www.googleapis.com/auth/drive.file'

const EXAMPLE = 'gdrive:/Folder'
const SIGN_IN =
  'run "kvar login google" and put KVAR_GDRIVE_CLIENT_ID, KVAR_GDRIVE_CLIENT_SECRET and KVAR_GDRIVE_REFRESH_TOKEN into the environment'

/**
 * The Google Drive target's own view of a setting that `parseTargetUrl` has checked already.
 *
 * @throws KvarError `SETTING_INVALID` with what is missing
 */
export function readGoogleDriveSettings(setting: TargetSetting): GoogleDriveSettings {
  const folder = readCloudFolder(setting, EXAMPLE)
  if (folder.length === 0) {
    throw targetInvalid(setting, 'it names no folder', `write for example ${EXAMPLE}`)
  }
  const credentials = readCredentials(setting)
  const sharedDrive = readSharedDrive(setting, credentials)
  return {
    url: setting.url,
    folder,
    sharedDrive,
    credentials,
    addresses: googleAddresses(readTestEndpoint(setting)),
  }
}

function readCredentials(setting: TargetSetting): GoogleCredentials {
  const { serviceAccount, clientId, clientSecret, refreshToken } = setting.secrets
  if (serviceAccount && refreshToken) {
    throw targetInvalid(
      setting,
      'there are two sign-ins for it',
      'unset KVAR_GDRIVE_SERVICE_ACCOUNT or KVAR_GDRIVE_REFRESH_TOKEN',
    )
  }
  if (serviceAccount) return { kind: 'service-account', key: serviceAccount }
  if (!clientId || !clientSecret || !refreshToken) {
    throw targetInvalid(setting, 'there is no sign-in for it', SIGN_IN)
  }
  return { kind: 'person', clientId, clientSecret, refreshToken }
}

/** With a person's sign-in our right does not reach into shared drives: only files of our own making count. */
function readSharedDrive(setting: TargetSetting, { kind }: GoogleCredentials): string | undefined {
  const { drive } = setting.parameters
  if (drive === undefined) return undefined
  if (kind === 'service-account' && /^[A-Za-z0-9_-]{5,100}$/.test(drive)) return drive
  throw targetInvalid(
    setting,
    kind === 'person' ? 'a shared drive needs a service account' : '"drive" is not the ID of a shared drive',
    'see docs/providers/google-drive.md',
  )
}
