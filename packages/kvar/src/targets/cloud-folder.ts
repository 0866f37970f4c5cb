import type { TargetSetting } from '../settings/target-url.ts'
import { targetInvalid } from './remote-address.ts'

/**
 * The folder of `scheme:/Folder/Below`, decoded, one name after the other; none for `scheme:/`.
 *
 * @throws KvarError `SETTING_INVALID` for names that programs disagree about
 */
export function readCloudFolder(setting: TargetSetting, example: string): string[] {
  const path = /^[a-z]+:(\/[^?]*)(?:\?|$)/.exec(setting.url)?.[1]
  if (path === undefined || path.startsWith('//')) {
    throw targetInvalid(setting, 'it does not name a folder behind one slash', `write for example ${example}`)
  }
  if (path === '/') return []
  const names = path.slice(1).split('/').map(decodedName)
  if (!names.every(isPlainName)) {
    throw targetInvalid(
      setting,
      'it names a folder that not every program can open',
      'use plain names between single slashes, without one at the end',
    )
  }
  return names as string[]
}

function decodedName(text: string): string | undefined {
  try {
    return decodeURIComponent(text).normalize('NFC')
  } catch {
    return undefined
  }
}

const NAME_LENGTH_LIMIT = 200

function isPlainName(name: string | undefined): boolean {
  if (name === undefined || name.length > NAME_LENGTH_LIMIT) return false
  return name !== '' && !/^\.|[.\s]$|^\s|[\p{Cc}\p{Cs}\\/:*?"<>|]/u.test(name)
}
