import type { TargetSetting } from '../../settings/target-url.ts'
import { readCloudFolder } from '../cloud-folder.ts'
import { readTestEndpoint } from '../http/test-endpoint.ts'
import { targetInvalid } from '../remote-address.ts'

/** Everything a Dropbox target needs to know. */
export interface DropboxSettings {
  /** The target's URL, without secrets. */
  url: string
  /** The names of the folders that lead to the target; none for the root of what the app may see. */
  folder: string[]
  appKey: string
  /** Only for apps whose refresh token was made with a secret; `kvar login` needs none. */
  appSecret: string | undefined
  refreshToken: string
  addresses: DropboxAddresses
}

export interface DropboxAddresses {
  /** For calls whose answer is JSON. */
  api: string
  /** For calls that send or bring the bytes of files. */
  content: string
  token: string
  authorize: string
}

/** Dropbox's own addresses (HTTP Documentation, "Endpoints"), or an emulator's. */
export function dropboxAddresses(emulator?: string): DropboxAddresses {
  const host = (name: string) => emulator ?? `https://${name}`
  return {
    api: `${host('api.dropboxapi.com')}/2`,
    content: `${host('content.dropboxapi.com')}/2`,
    token: `${host('api.dropboxapi.com')}/oauth2/token`,
    authorize: `${host('www.dropbox.com')}/oauth2/authorize`,
  }
}

/**
 * The Dropbox target's own view of a setting that `parseTargetUrl` has checked already.
 *
 * @throws KvarError `SETTING_INVALID` with what is missing
 */
export function readDropboxSettings(setting: TargetSetting): DropboxSettings {
  const folder = readCloudFolder(setting, 'dropbox:/Folder')
  const { appKey, appSecret, refreshToken } = setting.secrets
  if (!appKey || !refreshToken) {
    throw targetInvalid(
      setting,
      `there is no ${appKey ? 'refresh token' : 'app key'} for it`,
      'run "kvar login dropbox" and put KVAR_DROPBOX_APP_KEY and KVAR_DROPBOX_REFRESH_TOKEN into the environment',
    )
  }
  const addresses = dropboxAddresses(readTestEndpoint(setting))
  return { url: setting.url, folder, appKey, appSecret: appSecret || undefined, refreshToken, addresses }
}
