import { KvarError } from '../errors.ts'
import type { Platform } from '../platform/platform.ts'
import { isTargetScheme, knownSchemes, type TargetScheme } from '../settings/target-schemes.ts'
import type { TargetSetting } from '../settings/target-url.ts'
import { readFolderSettings } from './folder/folder-settings.ts'
import { createFolderTarget } from './folder/folder-target.ts'
import type { Target } from './target.ts'

/** Turns a setting into a target. */
export type TargetOpener = (setting: TargetSetting, platform: Platform) => Promise<Target>

/*
 * Targets away from the machine are loaded when they are opened: a keeper with folders alone stays as small
 * as it was without them.
 */

/** One line for each kind of target; a scheme that settings know and this table does not, does not compile. */
const OPENERS: Record<TargetScheme, TargetOpener> = {
  folder: (setting, platform) => createFolderTarget({ ...readFolderSettings(setting), platform }),
  s3: openS3,
  webdav: openWebdav,
  webdavs: openWebdav,
  postgres: openPostgres,
  postgresql: openPostgres,
  sftp: openSftp,
  dropbox: openDropbox,
  gdrive: openGoogleDrive,
}

async function openS3(setting: TargetSetting, platform: Platform): Promise<Target> {
  const { createS3Target } = await import('./s3/s3-target.ts')
  const { readS3Settings } = await import('./s3/s3-settings.ts')
  return createS3Target(readS3Settings(setting), platform)
}

async function openSftp(setting: TargetSetting, platform: Platform): Promise<Target> {
  const { createSftpTarget } = await import('./sftp/sftp-target.ts')
  const { readSftpSettings } = await import('./sftp/sftp-settings.ts')
  return createSftpTarget(readSftpSettings(setting), platform)
}

async function openPostgres(setting: TargetSetting, platform: Platform): Promise<Target> {
  const { createPostgresTarget } = await import('./postgres/postgres-target.ts')
  const { readPostgresSettings } = await import('./postgres/postgres-settings.ts')
  return createPostgresTarget(readPostgresSettings(setting), platform)
}

async function openDropbox(setting: TargetSetting, platform: Platform): Promise<Target> {
  const { readDropboxSettings } = await import('./dropbox/dropbox-settings.ts')
  const { createDropboxTarget } = await import('./dropbox/dropbox-target.ts')
  return createDropboxTarget(readDropboxSettings(setting), platform)
}

async function openGoogleDrive(setting: TargetSetting, platform: Platform): Promise<Target> {
  const { readGoogleDriveSettings } = await import('./google-drive/google-drive-settings.ts')
  const { createGoogleDriveTarget } = await import('./google-drive/google-drive-target.ts')
  return createGoogleDriveTarget(readGoogleDriveSettings(setting), platform)
}

/**
 * Opens the target that a setting names, without any wrapper around it.
 *
 * @throws KvarError `SETTING_INVALID` for a scheme that this program does not know
 * @throws TargetError when the place cannot be reached or refuses us
 * @example
 * const target = withRetries(await openTarget(settings.targets[0], systemPlatform), { platform: systemPlatform })
 */
export async function openTarget(setting: TargetSetting, platform: Platform): Promise<Target> {
  if (isTargetScheme(setting.scheme)) return OPENERS[setting.scheme](setting, platform)
  throw new KvarError(
    'SETTING_INVALID',
    `"${setting.scheme}:" is not a kind of target that this Kvar knows`,
    {
      hint: `known are ${knownSchemes()}`,
      data: { url: setting.url },
    },
  )
}

async function openWebdav(setting: TargetSetting, platform: Platform): Promise<Target> {
  const { createWebdavTarget } = await import('./webdav/webdav-target.ts')
  const { readWebdavSettings } = await import('./webdav/webdav-settings.ts')
  return createWebdavTarget(readWebdavSettings(setting), platform)
}
